"""The chat template and the beginning-of-text token: applied here and nowhere else.

What a model reads begins with its beginning-of-text token if and only if its tokenizer puts one
before a text by default. So does a text that already begins with it: templates may write it.

A base model has no chat template. Where one of the book's (`GIVEN`) is named for it, turns are
written in that; else it is not asked in turns. An answer ends as the template ends a turn (`end`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from jinja2 import TemplateError

from forgetting.tasks import HEARD, Example, Turn


class BadTemplate(ValueError):
    """A model that is asked in turns has no chat template, or is given one that does not fit."""


class Given(NamedTuple):
    """A chat template of the book's, and the tokens around its turns, which a model must have."""

    text: str
    marks: tuple[str, str]


# By name, which stands in lineages: another text is another name.
GIVEN = {
    "chatml": Given(
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + "
        "message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        ("<|im_start|>", "<|im_end|>"),
    ),
    "gemma": Given(
        "{{ bos_token }}{% for message in messages %}{{ '<start_of_turn>' + "
        "('model' if message['role'] == 'assistant' else message['role']) + '\n' + "
        "message['content'] + '<end_of_turn>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}",
        ("<start_of_turn>", "<end_of_turn>"),
    ),
}


def give(tokenizer: Any, name: str, model: str) -> None:
    """Let a base model's tokenizer write turns in the template of that name.

    Raises `BadTemplate` where it has one of its own, or lacks the tokens around turns.
    """
    given = GIVEN[name]
    if tokenizer.chat_template:
        raise BadTemplate(f"model={model!r}: has a chat template of its own; leave out ':{name}'")
    for mark in given.marks:
        if len(tokenizer(mark, add_special_tokens=False).input_ids) != 1:
            others = ", ".join(other for other in GIVEN if other != name)
            raise BadTemplate(
                f"model={model!r}: {mark} is no token of it, so it cannot be given the chat "
                f"template {name!r}; there are also: {others}"
            )
    tokenizer.chat_template = given.text


class BadTurns(ValueError):
    """The chat template takes no such turns."""


def chat(tokenizer: Any, turns: Sequence[Turn]) -> str:
    """The turns in the chat template, up to where the answer begins.

    Raises `BadTemplate` where the tokenizer has no template, `BadTurns` for what it does not take.
    """
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    return _rendered(tokenizer, messages, add_generation_prompt=True)


def prompt(tokenizer: Any, example: Example) -> str:
    """What is read before the answer: the turns in the chat template, or their texts alone."""
    if example.chat:
        return chat(tokenizer, example.turns)
    return "".join(turn.text for turn in example.turns)


def empty_turn(tokenizer: Any) -> str:
    """What the chat template writes before a user speaks, without any default system turn."""
    marks = ("\ue000", "\ue001", "\ue002")  # no template writes these
    roles = ("user", "assistant", "user")
    turns = [{"role": r, "content": mark} for r, mark in zip(roles, marks, strict=True)]
    before, after = (_rendered(tokenizer, some) for some in (turns[:2], turns))
    return after.removeprefix(before).partition(marks[2])[0]


def start(tokenizer: Any) -> str:
    """The token after which a model writes freely: that of a text's beginning, or of its end.

    Raises `ValueError` where there is neither.
    """
    return tokenizer.bos_token or str(tokenizer.convert_ids_to_tokens(end(tokenizer)))


def begin(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before a text by default: its beginning-of-text token, or nothing."""
    own, whole = (tokenizer("a", add_special_tokens=added).input_ids for added in (False, True))
    return whole[: whole.index(own[0])]


def end(tokenizer: Any, *, chat: bool = False) -> int:
    """The token that a model writes last: a text's, or, in a chat, that of its turn's end.

    Raises `ValueError` where there is none.
    """
    token = _turn_end(tokenizer) if chat else None
    token = tokenizer.eos_token_id if token is None else token
    if token is None:
        raise ValueError(
            f"{tokenizer.name_or_path}: its tokenizer has no end token, so that no answer would "
            "end; set eos_token in its tokenizer_config.json"
        )
    return token


def ends(tokenizer: Any) -> list[int]:
    """All tokens that `end` may say, once each. Raises `ValueError` where there is none."""
    chats = (False, True) if tokenizer.chat_template else (False,)
    return list(dict.fromkeys(end(tokenizer, chat=chat) for chat in chats))


def ids(tokenizer: Any, text: str) -> list[int]:
    """The token ids of a text from its beginning; `chat` and `prompt` give such texts."""
    return begun(tokenizer, tokenizer(text, add_special_tokens=False).input_ids)


def begun(tokenizer: Any, tokens: list[int]) -> list[int]:
    """Tokens after the beginning-of-text token, unless they begin with it."""
    first = begin(tokenizer)
    return tokens if tokens[: len(first)] == first else [*first, *tokens]


def answer_ids(tokenizer: Any, before: str, answer: str) -> list[int]:
    """The tokens of an answer as they stand in one text with what is read before it.

    Where a token would span both, that of the answer alone: what is read is read alone. So it is
    where nothing stands in one text, in encoder-decoders, whose tokenizers end a text and begin
    none.
    """
    cut = partial(tokenizer, add_special_tokens=False)
    read, whole = cut(before).input_ids, cut(before + answer).input_ids
    encodes = tokenizer.bos_token is None and tokenizer("a").input_ids[-1] == tokenizer.eos_token_id
    if not encodes and whole[: len(read)] == read and len(whole) > len(read):
        return whole[len(read) :]
    return cut(answer).input_ids


def heard_ids(tokenizer: Any, text: str, frames: Sequence[Any]) -> tuple[list[int], list[int]]:
    """The token ids of a text without its marks of what is heard, and before which each stands.

    Raises `ValueError` where the text has not one `HEARD` for each of `frames`.
    """
    first, *rest = text.split(HEARD) if frames else [text]
    if len(rest) != len(frames):
        raise ValueError(f"{HEARD}: stands {len(rest)} times in the text of {len(frames)} frames")
    tokens, places = ids(tokenizer, first), []
    for piece in rest:
        places.append(len(tokens))
        tokens += tokenizer(piece, add_special_tokens=False).input_ids
    return tokens, places


def _turn_end(tokenizer: Any) -> int | None:
    """The token after an assistant's words, in the chat template; None if these are just text."""
    words = "\ue000"  # no template writes it
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": words}]
    try:
        _, said, after = _rendered(tokenizer, turns).partition(words)
    except BadTurns:
        return None
    after = after.lstrip()
    if not said or not after:
        return None
    if tokenizer.eos_token and after.startswith(tokenizer.eos_token):
        return int(tokenizer.eos_token_id)
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    closing = [token for token in added if token and after.startswith(token)]
    return added[max(closing, key=len)] if closing else None


def _rendered(tokenizer: Any, messages: list[dict[str, str]], **options: Any) -> str:
    if not tokenizer.chat_template:
        names = ", ".join(f":{name}" for name in GIVEN)
        raise BadTemplate(
            f"{tokenizer.name_or_path}: has no chat template; put the name of one of the book's "
            f"behind the model's ({names}), or name a model that chats or a task with "
            "chat_template: false"
        )
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise BadTurns(
            f"turns: {roles}: the chat template takes no such turns ({error})"
        ) from error
