"""The text classification of Hugging Face's task guide, with its Trainer; but a small DistilBERT
from scratch on reviews drawn from a few words, which need no download. The lines with
edgecompress or report in them are added.

    pip install 'edgecompress[transformers]'
    python examples/with_transformers.py
"""

import random

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    DataCollatorWithPadding,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    set_seed,
)

import edgecompress

PRAISE, BLAME = (
    ["great", "moving", "witty", "superb", "fresh"],
    ["dull", "flat", "clumsy", "stale", "hollow"],
)
FILLERS = [
    "the",
    "film",
    "its",
    "plot",
    "cast",
    "and",
    "music",
    "was",
    "a",
    "story",
    "with",
    "scenes",
    "that",
    "felt",
    "very",
]
WORDS = ["[PAD]", "[UNK]", *PRAISE, *BLAME, *FILLERS]


def reviews(count, seed):
    draw = random.Random(seed)
    for _ in range(count):
        label = draw.randrange(2)
        words = draw.choices(FILLERS, k=draw.randint(4, 14))
        words.insert(draw.randrange(len(words)), draw.choice(PRAISE if label else BLAME))
        yield {"text": " ".join(words), "label": label}


def preprocess_function(examples):
    return [{**each, **tokenizer(each["text"], truncation=True)} for each in examples]


def compute_metrics(eval_pred):
    predictions, labels = eval_pred
    predictions = np.argmax(predictions, axis=1)
    return {"accuracy": float((predictions == labels).mean())}


if __name__ == "__main__":
    set_seed(0)
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    )
    tokenized_train = preprocess_function(reviews(800, seed=1))
    tokenized_test = preprocess_function(reviews(300, seed=2))
    config = DistilBertConfig(
        vocab_size=len(WORDS),
        max_position_embeddings=32,
        n_layers=1,
        n_heads=2,
        dim=32,
        hidden_dim=64,
        id2label={0: "NEGATIVE", 1: "POSITIVE"},
        label2id={"NEGATIVE": 0, "POSITIVE": 1},
    )
    model = DistilBertForSequenceClassification(config)
    training_args = TrainingArguments(
        output_dir="my_awesome_model",
        learning_rate=2e-3,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=16,
        num_train_epochs=2,
        weight_decay=0.01,
        eval_strategy="epoch",
        save_strategy="no",
        use_cpu=True,
    )
    trainer = Trainer(
        model=model,
        args=training_args,
        train_dataset=tokenized_train,
        eval_dataset=tokenized_test,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer=tokenizer),
        compute_metrics=compute_metrics,
    )
    trainer.train()
    report = edgecompress.compress(trainer, target="local")
    print(report)
