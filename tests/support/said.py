"""What the command line says of an error: one message, with nothing in it that only Python has."""

import re

# what nobody can write, or call, in a shell
PYTHON = re.compile(
    r"\badata\b|\bobs\b|\bobsm\b|\bvar_names|\bobs_names|\bscanpy\b|\bnumpy\b|\bsc\.|\bscs\.|scsystems\.\w"
    r"|_keys?\b|_kwargs\b|\b\w+=|\bNone\b|\bTrue\b|\bFalse\b|\w\(\)|\bAnnData\(|dictionary"
    r"|Traceback|Unexpected|\bn_\w+|\bmax_\w+|\bmin_\w+|\bbatch_\w+"
)


def check(said: str, *expected: str) -> None:
    lines = [line for line in said.splitlines() if "UserWarning" not in line]
    assert sum(line.startswith("Error: ") for line in lines) == 1, said
    message = said[said.index("Error: ") :]
    # what other programs say of a damaged file is theirs
    message = re.sub(r"could not be read \(.*\)\. ", "could not be read. ", message, flags=re.S)
    assert not PYTHON.findall(re.sub(r"/\S+", "", message)), message
    for part in expected:
        assert part in message
