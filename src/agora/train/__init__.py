"""Training: one batch format, one step loop, one log-probability routine; algorithms differ in their loss alone.

Shapes in names: B rows, T tokens, N target tokens, H hidden size, V vocabulary size. Log-probabilities are in nats.
"""

from agora.train.batch import Batch, EncodedSequence
from agora.train.config import TrainConfig
from agora.train.render import encode_chat, encode_pair

__all__ = ["Batch", "EncodedSequence", "TrainConfig", "encode_chat", "encode_pair"]
