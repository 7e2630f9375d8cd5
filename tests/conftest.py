"""Every test gets a home in a temporary folder, bundled data, one thread, and no network."""

import gc
import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest

# Test modules import torch, transformers and lm-eval, a million objects that all stay: to look
# through them for garbage, at every collection, would cost a fifth of the time.
gc.disable()

# Before the first import of torch, tqdm or huggingface_hub, and for the processes tests start.
os.environ.update(
    OMP_NUM_THREADS="1",
    TQDM_DISABLE="1",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    TOKENIZERS_PARALLELISM="false",
)
# Here and not in a fixture: what runs while tests are collected must not find the reader's home.
_HOME = tempfile.TemporaryDirectory(prefix="forgetting-tests-")
os.environ["FORGETTING_HOME"] = _HOME.name
for _variable in (
    "FORGETTING_METHODS",
    "FORGETTING_PROCESSES",
    "FORGETTING_RENDER",
    "FORGETTING_RESULTS",
    "FORGETTING_ROOT",
    "FORGETTING_SCHEDULER",
):
    os.environ.pop(_variable, None)

hypothesis.settings.register_profile(
    "book", deadline=None, derandomize=True, database=None, max_examples=60
)
hypothesis.settings.load_profile("book")


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def session_home():
    """The home of tests that do not mind what others stored: `tiny` is made once."""
    home = Path(_HOME.name)
    (home / "models").mkdir(exist_ok=True)
    return home


@pytest.fixture(scope="module", autouse=True)
def bundled_data(request):
    """No mirror, but for modules marked `public`: they read public data where a mirror has them."""
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("public") is None:
            patch.delenv("FORGETTING_DATA_MIRROR", raising=False)
        yield


@pytest.fixture(autouse=True)
def environment():
    """What a test, or a command that it calls, sets in the environment ends with it."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """Sockets of this process reach this machine only."""
    connect = socket.socket.connect

    def connect_here(self, address):
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise ConnectionRefusedError(f"tests use no network, and this one wants {address}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk():
    """What tests write need not outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def one_thread():
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture
def own_home(session_home, tmp_path, monkeypatch):
    """A home of the test's own in which nothing is stored yet; foundations are the session's."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(session_home / "models")
    monkeypatch.setenv("FORGETTING_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def tiny(session_home):
    """The foundation `tiny`: a Llama of 2 layers over bytes, random weights."""
    from forgetting import foundation

    checkpoint = foundation("tiny")
    assert checkpoint.foundation.folder.parent == session_home / "models"  # makes it
    return checkpoint


@pytest.fixture
def tiny_model(tiny):
    """Its model, fresh for each test, and its tokenizer."""
    from forgetting.engine import compute

    return compute.model(tiny)


@pytest.fixture
def trainings(monkeypatch):
    """The seeds of the trainings that really ran, in order."""
    from forgetting.engine import training

    seeds, train = [], training.train

    def counted(model, tokenizer, shown, settings, seed, *rest, **more):
        seeds.append(seed)
        return train(model, tokenizer, shown, settings, seed, *rest, **more)

    monkeypatch.setattr(training, "train", counted)
    return seeds


@pytest.fixture
def measured(monkeypatch):
    """Names of the tasks that were really measured, in order."""
    from forgetting.probes import evaluation

    names, measure = [], evaluation._measure

    def counted(checkpoint, model, tokenizer, group, chat):
        names.extend(task.name for task in group)
        measure(checkpoint, model, tokenizer, group, chat)

    monkeypatch.setattr(evaluation, "_measure", counted)
    return names


@pytest.fixture(scope="session")
def undisturbed(tiny, session_home, tmp_path_factory):
    """The small study, run once: its home, its runs, what it said and how long it took."""
    from studies import small_study

    home, said = tmp_path_factory.mktemp("undisturbed"), []
    (home / "models").symlink_to(session_home / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORGETTING_HOME", str(home))
        started = time.monotonic()
        runs = small_study(say=said.append)
    return SimpleNamespace(home=home, runs=runs, said=said, seconds=time.monotonic() - started)


@pytest.fixture
def four_reviews(monkeypatch):
    """Scores of four reviews, by what was right; the first three are negative."""
    from studies import scores

    from forgetting.probes import baselines

    labels = ("negative", "negative", "negative", "positive")
    reviews = [{"prompt": f"Review {n}", "answer": label} for n, label in enumerate(labels)]
    monkeypatch.setattr(baselines.Task, "documents", lambda task, split: reviews)
    baselines._golds.cache_clear()
    yield lambda *em: scores("mini_sentiment_chat", em=em)
    baselines._golds.cache_clear()


@pytest.fixture
def done(undisturbed, own_home):
    """The runs of the small study; the test's own home holds them and their weights."""
    for folder in ("store", "results"):
        shutil.copytree(undisturbed.home / folder, own_home / folder)
    return undisturbed.runs
