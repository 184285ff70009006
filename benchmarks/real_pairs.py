"""Reward models on real preference pairs: what a small model, made and trained on the spot, learns of them.

    python benchmarks/real_pairs.py [--shared ../shared] [--sets hh alpaca-eval wildbench] [--json]

Three sets: HH-RLHF harmless test (human choices), AlpacaEval 1 (GPT-4's choices between four models and
text-davinci-003) and the answers of six models to WildBench's tasks with GPT-4's scores (the prompts are not in that
file). Each is split by prompt through `agora preferences data --held-out`, a random Llama of one layer with a
byte-level tokenizer trained on the training side alone is made, and `agora train reward` and `agora preferences
reward-eval` do the rest. The peer is length: the share of held-out pairs in which the longer answer is the chosen one.
Intervals are of 95 %, over prompts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

SETS: dict[str, dict[str, Any]] = {
    "hh": {"file": "preference/hh_rlhf/harmless_base_test.jsonl.gz", "epochs": 2},
    "alpaca-eval": {"file": "preference/alpaca_eval_v1/pairs.jsonl.gz", "epochs": 1},
    "wildbench": {
        "file": "magpie/wildbench_sft6_scored.jsonl.gz",
        "epochs": 1,
        "train_rule": "all_pairs,score=overall,min_margin=2",
        "held_rule": "best_vs_worst,score=overall",
    },
}
HELD_OUT = "0.4"
MAX_TOKENS = 1024
_SPECIAL = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
_TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def agora(*words: str) -> str:
    """One command of the product; its output."""
    done = subprocess.run([sys.executable, "-m", "agora.cli", *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"agora {' '.join(words)} failed: {done.stderr[-2000:]}")
    return done.stdout


def split(source: Path, name: str, folder: Path) -> tuple[Path, Path]:
    """(training pairs, held-out pairs): where a prompt goes depends on the prompt and the seed, not on the rule."""
    setting = SETS[name]
    made = []
    for side in ("train", "held"):
        rule = setting.get(f"{side}_rule")
        out = folder / f"{name}-{side}.jsonl"
        more = ["--rule", rule] if rule else []
        agora("preferences", "data", str(source), *more, "--held-out", HELD_OUT, "--seed", "0", "--out", str(out))
        made.append(out if side == "train" else out.with_name(f"{out.stem}.held-out.jsonl"))
    return made[0], made[1]


def prompts_in(path: Path) -> set[str]:
    """The prompts of a file of pairs as texts to be compared."""
    from agora.core.records import PreferencePair
    from agora.core.tables import read_records
    from agora.curate.pairs.split import prompt_key

    return {prompt_key(pair.prompt) for pair in read_records(path, PreferencePair)}


def new_model(pairs: Path, folder: Path) -> int:
    """Write a random one-layer Llama and a byte-level tokenizer trained on these pairs; returns its parameters."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    texts = [m["content"] for row in rows for side in ("prompt", "chosen", "rejected") for m in row[side]]
    bytes_ = Tokenizer(models.BPE())
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=_SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytes_.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytes_, pad_token="<|pad|>", eos_token="<|end|>", extra_special_tokens=_SPECIAL[2:]
    )
    tokenizer.chat_template = _TEMPLATE
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())


def measure(shared: Path, name: str, folder: Path) -> dict[str, Any]:
    """Split, train, evaluate one set."""
    train, held = split(shared / "data" / SETS[name]["file"], name, folder)
    parameters = new_model(train, folder / "start")
    settings = ["train.learning_rate=1e-3", "train.batch_size=32", f"train.epochs={SETS[name]['epochs']}"]
    sets = [word for setting in (*settings, f"max_tokens={MAX_TOKENS}") for word in ("--set", setting)]
    run = folder / "reward"
    given = ["--model", f"hf:{folder / 'start'}", "--data", str(train), "--held-out", str(held)]
    trained = json.loads(agora("train", "reward", *given, "--out", str(run), *sets, "--json"))
    given = ["--model", f"reward:{run / 'model'}", "--data", str(held), "--set", f"max_tokens={MAX_TOKENS}"]
    found = json.loads(agora("preferences", "reward-eval", *given, "--json"))
    return {
        "set": name,
        "parameters": parameters,
        "pairs": trained["rows"],
        "seconds": trained["seconds"],
        "leaked_prompts": len(prompts_in(train) & prompts_in(held)),
        "accuracy": found["by_prompt"] or found["overall"]["accuracy"],  # None where each prompt has one pair
        **{key: found["overall"][key] for key in ("longer", "over_longer")},
        "length_correlation": found["length_correlation_within"],
    }


def main() -> None:
    """Print a line a set, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for name in options.sets:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(options.shared, name, Path(folder)))
        if not options.json:
            row = found[-1]
            shown = {
                key: f"{100 * row[key]['estimate']:.1f} [{100 * row[key]['low']:.1f}, {100 * row[key]['high']:.1f}]"
                for key in ("accuracy", "longer", "over_longer")
            }
            print(
                f"{name}: {row['pairs']:,} pairs in {row['seconds']:.0f} s; held out {row['accuracy']['n']:,}: "
                f"accuracy {shown['accuracy']}, longer wins {shown['longer']}, difference {shown['over_longer']}; rank "
                f"correlation with length within pairs {row['length_correlation']['estimate']:.2f}; "
                f"{row['leaked_prompts']} prompts on both sides"
            )
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
