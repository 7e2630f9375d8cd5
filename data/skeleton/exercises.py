"""Tests of the chapter's exercises; these are other chapters', in the place of its own."""

from forgetting.chapters.freezing.exercises import matched_reading, repetition
from forgetting.chapters.lora.exercises import beaten_by

__all__ = ["beaten_by", "matched_reading", "repetition"]
