"""Writes what src/model/hugging_face rests on, from transformers 5.24.0 (torch 2.11.0, peft 0.21.2):

- src/model/hugging_face/defaults.json: names and defaults of the keys of each type that is read there,
- tests/goldens/hugging_face.jsonl: made-up configurations, and the parameters of their language models, of the tables among
  them, and of LoRA of rank 16 on queries and values.

    python tests/goldens/hugging_face.py
"""

import dataclasses
import glob
import json
import os
import random
import re

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL
from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED

HERE = os.path.dirname(os.path.abspath(__file__))
ROOM = os.path.join(HERE, "../../src/model/hugging_face")
SOURCE = {os.path.basename(f): open(f).read() for f in glob.glob(ROOM + "/*.rs") if not f.endswith("tests.rs")}
# Text models of larger ones: read as the type that they are built as, with defaults of their own.
TEXTS = dict(re.findall(r'\("(\w+)", "(\w+)"\)', SOURCE["nested.rs"].split("const SAME")[1].split("];")[0]))


def names_in(file, after, before):
    return re.findall(r'"([a-z0-9_\-]+)"', SOURCE[file].split(after)[1].split(before)[0])


ENCODERS = [*names_in("encoders.rs", "const ENCODERS", "];"), "modernbert"]
TYPES = {*ENCODERS, *names_in("gpt.rs", "const GPTS", "];"), "modernbert-decoder", "dbrx", "jetmoe", *TEXTS}
for listed in re.findall(r"types: &\[(.*?)\]", SOURCE["likes.rs"] + SOURCE["llama.rs"], re.S):
    TYPES |= set(re.findall(r'"([a-z0-9_\-]+)"', listed))


def class_of(name):
    name = TEXTS.get(name, name)
    return MASKED[name] if name in ENCODERS and name in MASKED else CAUSAL[name]


def defaults():
    keys = set(re.findall(r'"([a-z_][a-z0-9_]*)"', "".join(SOURCE.values())))
    keys |= {"attention_heads", "n_embd", "n_head", "n_heads", "n_inner", "n_layer", "n_layers", "num_layers"}
    keys -= {"model_type", "is_encoder_decoder", "is_decoder", "eos_token_id", "tokenizer_class"}
    found = {}
    for name in sorted(TYPES - {"deepseek"}):
        config = CONFIG_MAPPING[name]
        renamed = {a: b for a, b in config.attribute_map.items() if a in keys or b in keys}
        values = {}
        for field in dataclasses.fields(config):
            value = field.default
            is_counted = isinstance(value, (bool, int, str)) or isinstance(value, float) and value.is_integer()
            # Of dropout it matters whether there is any.
            is_dropout = "drop" in field.name and isinstance(value, float)
            if field.name in keys and (is_counted or is_dropout):
                values[renamed.get(field.name, field.name)] = value
        # Text models leave it to the whole, which is tied as the model of text alone is.
        alone = CONFIG_MAPPING[TEXTS.get(name, name)]()
        values.setdefault("tie_word_embeddings", bool(getattr(config(), "tie_word_embeddings", alone.tie_word_embeddings)))
        # Rotary positions where they are not the usual ones, which no count rests on.
        rope = getattr(config(), "rope_parameters", None) or {}
        usual = {"rope_theta": 10_000.0, "partial_rotary_factor": 1.0}
        for key, value in usual.items():
            said = rope.get("full_attention", rope).get(key, value)
            values |= {key: said} if said != value else {}
        if "sliding_attention" in rope:
            values["local_rope_theta"] = rope["sliding_attention"]["rope_theta"]
        found[name] = {"class": class_of(name), **({"names": renamed} if renamed else {}), "values": values}
    # Not in transformers: the published configuration_deepseek.py of deepseek-moe-16b.
    found["deepseek"] = {
        "class": "DeepseekForCausalLM",
        "values": {
            "vocab_size": 102400, "hidden_size": 4096, "intermediate_size": 11008, "moe_intermediate_size": 1407,
            "num_hidden_layers": 30, "num_attention_heads": 32, "first_k_dense_replace": 0, "max_position_embeddings": 2048,
            "tie_word_embeddings": False, "attention_bias": False,
        },
    }  # fmt: skip
    with open(ROOM + "/defaults.json", "w") as out:
        lines = (f"{json.dumps(name)}: {json.dumps(of)}" for name, of in sorted(found.items()))
        out.write("{\n" + ",\n".join(lines) + "\n}\n")


def built(name, values):
    with torch.device("meta"):
        return getattr(transformers, class_of(name))(CONFIG_MAPPING[name].from_dict(dict(values)))


def once(parameters):
    return sum(p.numel() for p in {id(p): p for p in parameters}.values())


def lora(model):
    leaves = {name.split(".")[-1] for name, _ in model.named_modules()}
    for targets in (
        ["q_proj", "v_proj"], ["query", "value"], ["q_lin", "v_lin"], ["query_proj", "value_proj"], ["q", "v"], ["Wq", "Wv"],
        ["c_attn"], ["query_key_value"], ["qkv_proj"], ["Wqkv"], ["in_proj"],
    ):  # fmt: skip
        if leaves.issuperset(targets):
            try:
                with torch.device("meta"):
                    tuned = get_peft_model(model, LoraConfig(r=16, target_modules=targets))
                return sum(p.numel() for p in tuned.parameters() if p.requires_grad)
            except ValueError:
                return None
    return None


def made_up(draw, name):
    """A small configuration of a type, with what its keys may say."""
    config = CONFIG_MAPPING[name]
    fields = {field.name for field in dataclasses.fields(config)}
    heads, width = draw.choice([2, 3, 4, 6]), draw.choice([4, 6, 8])
    experts, kv = draw.randint(2, 5), draw.choice([k for k in range(1, heads + 1) if heads % k == 0])
    layers = draw.randint(1, 5)
    sizes = {
        "hidden_size": heads * width, "num_attention_heads": heads, "num_hidden_layers": layers, "num_key_value_heads": kv,
        "vocab_size": draw.randint(30, 90), "max_position_embeddings": draw.randint(16, 40), "num_kv_heads": kv,
        "intermediate_size": draw.randint(9, 60), "hidden_dim": 50, "ffn_dim": 41, "dff": 33, "n_inner": draw.choice([None, 37]),
        "type_vocab_size": draw.randint(1, 3), "embedding_size": draw.choice([heads * width, 11]), "input_embedding_size": 11,
        "output_embedding_size": 19, "num_local_experts": experts, "num_experts": experts, "n_routed_experts": experts,
        "moe_num_experts": experts, "num_experts_per_tok": 2, "moe_k": 2, "moe_topk": 2, "moe_intermediate_size": 7,
        "shared_expert_intermediate_size": 5, "shared_intermediate_size": draw.choice([0, 9]), "n_shared_experts": 2,
        "num_shared_experts": 2, "moe_num_shared_experts": 2, "intermediate_size_mlp": 13, "first_k_dense_replace": 1,
        "num_dense_layers": 1, "decoder_sparse_step": draw.randint(1, 2), "mlp_only_layers": draw.choice([[], [0]]),
        "moe_layer_interval": draw.randint(1, 2), "interleave_moe_layer_step": draw.randint(1, 2), "n_group": 1, "topk_group": 1,
        "kv_lora_rank": 5, "q_lora_rank": draw.choice([None, 6]) if name != "minicpm3" else 6, "qk_nope_head_dim": 3,
        "qk_rope_head_dim": 4, "v_head_dim": 7, "word_embed_proj_dim": draw.choice([heads * width, 13]), "kv_channels": 4,
        "relative_attention_num_buckets": 6, "max_2d_position_embeddings": 9, "num_hidden_groups": 1, "pad_token_id": 0,
        "intermediate_multiple_size": draw.choice([2, 4]), "head_dim": draw.choice([width, 10]),
    }  # fmt: skip
    flags = """attention_bias mlp_bias use_bias bias qkv_bias use_qkv_bias tie_word_embeddings use_qk_norm qk_layernorm
        use_parallel_residual attention_out_bias lm_head_bias multi_query new_decoder_architecture parallel_attn alibi use_post_norm
        norm_bias decoder_bias classifier_bias use_task_id position_biased_input relative_attention share_att_key
        emb_layer_norm_before do_layer_norm_before enable_bias layer_norm_elementwise_affine use_bidirectional_attention"""
    own = {config.attribute_map.get(key, key): value for key, value in sizes.items()}
    # Sizes that have to fit each other are never left out.
    fit = {"hidden_size", "num_attention_heads", "num_key_value_heads", "num_kv_heads", "num_experts_per_tok", "moe_k", "moe_topk"}
    kept = {config.attribute_map.get(key, key) for key in fit | {"pad_token_id", "kv_channels"}}
    found = {key: value for key, value in own.items() if key in fields and (key in kept or draw.random() < 0.93)}
    found |= {flag: draw.random() < 0.5 for flag in flags.split() if flag in fields and draw.random() < 0.6}
    if name in ("deberta", "deberta-v2"):
        found |= {"pos_att_type": draw.choice([["c2p"], ["p2c", "c2p"], "c2p|p2c"]), "max_relative_positions": draw.choice([-1, 7])}
    if name == "deberta-v2":
        found |= {"position_buckets": draw.choice([-1, 6]), "norm_rel_ebd": draw.choice(["none", "layer_norm"])}
    if name == "esm":
        found |= {"position_embedding_type": draw.choice(["absolute", "rotary"]), "pad_token_id": 1, "mask_token_id": 2}
    if name == "dbrx":
        found |= {"attn_config": {"kv_n_heads": kv, "rope_theta": 1e4}}
        found |= {"ffn_config": {"ffn_hidden_size": 9, "moe_num_experts": experts, "moe_top_k": 2}}
    if name == "helium":
        found["head_dim"] = width
    if name == "gpt_neo":
        found |= {"num_layers": layers, "attention_types": [[["global"], layers]]}
    return found


def goldens():
    draw, most = random.Random(7), 58_000
    lines = {}
    for number in range(3):
        for name in sorted(TYPES - {"deepseek"} - set(TEXTS)):
            for _ in range(40):
                values = made_up(draw, name) if number else {}
                try:
                    model = built(name, values)
                except Exception:
                    if not number:
                        break
                    continue
                tables = once(p for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters())
                of = [name, values, once(model.parameters()), tables, lora(model)]
                lines[name, number] = json.dumps(of, separators=(",", ":"))
                break
    kept, length = [], 0
    for key in sorted(lines, key=lambda key: (key[1] == 0, key[1], key[0])):
        if length + len(lines[key]) < most:
            kept.append(key)
            length += len(lines[key]) + 1
    with open(HERE + "/hugging_face.jsonl", "w") as out:
        out.writelines(lines[key] + "\n" for key in sorted(kept))


defaults()
goldens()
