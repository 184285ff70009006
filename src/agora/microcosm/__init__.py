"""The microcosm: a small world whose truth is known, and the two small models that live in it.

It is an instrument: because every fact, skill and preference is known, a pipeline can be calibrated here before anyone
pays for a GPU. ``agora.microcosm.world`` is pure Python; the models load through ``microcosm:base`` and
``microcosm:chat``.
"""
