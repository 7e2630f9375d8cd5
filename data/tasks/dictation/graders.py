"""Graders of transcripts."""

from forgetting.tasks import transcription


def written(doc, results):
    """Word and character error rate of one transcript."""
    words = transcription.words(doc["text"], results[0])
    characters = transcription.characters(doc["text"], results[0])
    return {"wer": words.wrong / words.said, "cer": characters.wrong / characters.said}
