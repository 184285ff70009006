"""From verdicts to a figure of one model: WB-Score, WB-Reward, and what biases them."""
