"""Graders of generated answers: (document, [answer]) to a dictionary of per-item scores."""

from forgetting.tasks.grading import sequence as metrics


def words(doc, results):
    answer, golds = results[0], doc["answers"]
    return {
        "nf1": metrics.normalised_f1(answer, golds),
        "em": float(metrics.exact_match(answer, golds)),
        "nem": float(metrics.normalised_exact_match(answer, golds)),
    }


def label(doc, results):
    return {"em": float(metrics.exact_match(results[0], doc["answers"]))}


def sql(doc, results):
    answer, gold = results[0], doc["answer"]
    return {
        "lf_em": float(metrics.logical_form_match(answer, gold, doc["header"])),
        "em": float(metrics.exact_match(answer, [gold])),
    }


def overlap(doc, results):
    return {
        "rouge_l": metrics.rouge_l(results[0], doc["answers"]),
        "em": float(metrics.exact_match(results[0], doc["answers"])),
    }


class _Dialogue:
    """The answers and golds of the dialogue that is being graded.

    A turn's dsEM depends on the turns before it, and lm-eval grades item by item, in order.
    """

    def __init__(self):
        self.turns = []

    def match(self, doc, answer):
        """Whether the state is right after this turn. Raises `ValueError` out of order."""
        here = (doc["dialogue"], doc["turn"])
        if doc["turn"] == 0:
            self.turns = []
        elif not self.turns or self.turns[-1][0] != (doc["dialogue"], doc["turn"] - 1):
            last = self.turns[-1][0] if self.turns else "nothing"
            raise ValueError(f"(dialogue, turn)={here}: follows {last}; grade dialogues in order")
        self.turns.append((here, answer, doc["answer"]))
        answers, golds = ([turn[i] for turn in self.turns] for i in (1, 2))
        return metrics.dialogue_state_matches(answers, golds)[-1]


_dialogue = _Dialogue()


def dialogue(doc, results):
    change, gold = map(metrics.change_of_state, (results[0], doc["answer"]))
    return {
        "ds_em": float(_dialogue.match(doc, results[0])),
        "turn_goal_em": float(change.inform == gold.inform),
        "turn_request_em": float(change.request == gold.request),
    }
