# Without a working Python nothing here means anything: stop at once, with the message that says
# what to do.
scsystems:::bridge()

# Models go where they do not outlive the tests.
options(scsystems.model.dir = tempfile("models"))
