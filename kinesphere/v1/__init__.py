"""Generated messages and stubs of the API, version 1 (see ``protos/kinesphere/v1``)."""
