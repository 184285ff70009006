"""The private parts of :mod:`agora.core.report`: what a page shows (`views`) and how it is put together (`page`)."""
