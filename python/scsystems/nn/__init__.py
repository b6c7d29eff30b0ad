"""Networks and losses: tensors in, tensors out. No AnnData and no files here."""
