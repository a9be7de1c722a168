"""Saved and loaded, an attack reconstructs the same; anything else on disk is refused by name."""

import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attack_pairs import make_pairs
from safetensors.torch import load_file, save_file

from featinv import files
from featinv.attacks import (
    DecoderAttack,
    MeanImage,
    NearestNeighbour,
    NeighbourAverage,
    PredictedClassMean,
    RandomFourier,
    RandomVector,
    Ridge,
    load_attack,
    save_attack,
)
from featinv.decoders import Listik
from featinv.errors import BadInput
from featinv.features import Pairs
from featinv.losses import MSE
from featinv.training import Training

MAKE: dict[str, Callable[[Pairs], Any]] = {
    "mean image": lambda _: MeanImage(),
    "nearest neighbour": lambda _: NearestNeighbour(),
    "neighbour average": lambda _: NeighbourAverage(k=3),
    "predicted class mean": lambda _: PredictedClassMean(penalty=2.0),
    "ridge": lambda _: Ridge(penalty=3),
    "random fourier": lambda _: RandomFourier(count=20, seed=5),
    "random vector": lambda pairs: RandomVector(Ridge(penalty=3).fit(pairs), source="matched", seed=4),
    "random vector of a random vector": lambda pairs: RandomVector(
        RandomVector(NearestNeighbour().fit(pairs)).fit(pairs)
    ),
}


@pytest.mark.parametrize("name", MAKE)
def test_loaded_it_reconstructs_the_same_bit_by_bit(name: str, tmp_path: Path) -> None:
    pairs = make_pairs(40)
    attack = MAKE[name](pairs).fit(pairs)
    save_attack(attack, tmp_path / "attack")
    loaded = load_attack(tmp_path / "attack")
    features = make_pairs(9, seed=7).batch(np.arange(9))[0]
    assert torch.equal(loaded.reconstruct(features), attack.reconstruct(features))
    assert type(loaded) is type(attack)
    assert repr(loaded) == repr(attack)
    for field in ("kind", "parameters", "feature_shape", "image_size", "victim"):
        assert getattr(loaded, field) == getattr(attack, field)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["attack", "attack.json", "weights.safetensors"]


def test_a_loaded_attack_can_be_saved_again(tmp_path: Path) -> None:
    save_attack(NearestNeighbour().fit(make_pairs(10)), tmp_path / "one")
    save_attack(load_attack(tmp_path / "one"), tmp_path / "two")
    first, second = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_was_chosen_is_saved(tmp_path: Path) -> None:
    attack = RandomFourier(count=20).fit(make_pairs(40))
    save_attack(attack, tmp_path / "a")
    assert load_attack(tmp_path / "a").chosen == attack.chosen
    assert set(attack.chosen) == {"scale", "penalty"}


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    save_attack(Ridge(penalty=3).fit(make_pairs(10)), tmp_path / "a")
    document = json.loads((tmp_path / "a" / "attack.json").read_text())
    assert document["schema"] == 2
    assert document["class"] == "featinv.attacks.Ridge"
    assert document["config"]["args"] == {"penalty": 3}
    assert (document["feature_shape"], document["image_size"]) == ([6], 8)
    assert document["victim"]["name"] == "vectors of memory"
    assert document["weights"]["sha256"] == files.sha256_file(tmp_path / "a" / "weights.safetensors")


def test_an_attack_that_is_not_fitted_is_not_saved(tmp_path: Path) -> None:
    for attack in (Ridge(), NearestNeighbour(), RandomVector(Ridge())):
        with pytest.raises(BadInput, match="expected a fitted attack to save"):
            save_attack(attack, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_older_attack_is_replaced_and_other_files_are_not(tmp_path: Path) -> None:
    pairs = make_pairs(10)
    save_attack(MeanImage().fit(pairs), tmp_path / "a")
    save_attack(Ridge().fit(pairs), tmp_path / "a")
    assert isinstance(load_attack(tmp_path / "a"), Ridge)
    (tmp_path / "a" / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match=r"a: expected a new folder .* got one with 'thesis.tex' in it"):
        save_attack(MeanImage().fit(pairs), tmp_path / "a")
    assert isinstance(load_attack(tmp_path / "a"), Ridge)
    (tmp_path / "b").write_text("a file")
    with pytest.raises(BadInput, match=r"b: expected a folder to save the attack in, got a file"):
        save_attack(MeanImage().fit(pairs), tmp_path / "b")


def test_a_save_that_fails_leaves_the_older_attack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = make_pairs(10)
    save_attack(MeanImage().fit(pairs), tmp_path / "a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("featinv.saved_folder.save_file", full)
    with pytest.raises(BadInput, match=r"a: the disk is full"):
        save_attack(Ridge().fit(pairs), tmp_path / "a")
    monkeypatch.undo()
    assert isinstance(load_attack(tmp_path / "a"), MeanImage)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_attack(Ridge().fit(make_pairs(10)), tmp_path / "saved")
    return tmp_path / "saved"


def edit(folder: Path, **changes: Any) -> None:
    document = json.loads((folder / "attack.json").read_text())
    (folder / "attack.json").write_text(json.dumps(document | changes))


def replace_weights(folder: Path, tensors: dict[str, torch.Tensor] | bytes) -> None:
    """Put other weights there and make the record agree, as a malicious or mistaken writer would."""
    path = folder / "weights.safetensors"
    if isinstance(tensors, bytes):
        path.write_bytes(tensors)
    else:
        save_file(tensors, path)
    edit(folder, weights={"bytes": path.stat().st_size, "sha256": files.sha256_file(path)})


def test_missing_folder_and_pickles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none: expected a folder that save_attack wrote .* got nothing there"):
        load_attack(tmp_path / "none")
    (tmp_path / "model.pt").write_bytes(pickle.dumps({"weights": [1, 2]}))
    with pytest.raises(BadInput, match=r"model\.pt: expected a folder .*\(pickles and checkpoints are not read"):
        load_attack(tmp_path / "model.pt")


@pytest.mark.parametrize("name", ["attack.json", "weights.safetensors"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(BadInput, match=rf"{name}: expected"):
        load_attack(saved)


@pytest.mark.parametrize("name", ["attack.json", "weights.safetensors"])
@pytest.mark.parametrize("kept", [0, 0.5, 0.99])
def test_a_truncated_file_is_named(saved: Path, name: str, kept: float) -> None:
    whole = (saved / name).read_bytes()
    (saved / name).write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(BadInput, match=rf"{name}: expected .*truncated"):
        load_attack(saved)


def test_a_flipped_bit_is_noticed(saved: Path) -> None:
    damaged = bytearray((saved / "weights.safetensors").read_bytes())
    damaged[-1] ^= 1
    (saved / "weights.safetensors").write_bytes(bytes(damaged))
    with pytest.raises(BadInput, match=r"weights\.safetensors: expected the sha256 that attack\.json tells"):
        load_attack(saved)


def test_a_pickle_under_our_name_is_never_unpickled(saved: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (exec, ("raise SystemExit('unpickled')",))  # not sys.exit: wandb puts its own in that place

    with pytest.raises(SystemExit, match="unpickled"):
        pickle.loads(pickle.dumps(Bomb()))
    replace_weights(saved, pickle.dumps(Bomb()))
    with pytest.raises(BadInput, match=r"weights\.safetensors: expected a safetensors file"):
        load_attack(saved)


def test_weights_of_another_attack_are_refused(saved: Path, tmp_path: Path) -> None:
    save_attack(MeanImage().fit(make_pairs(10)), tmp_path / "other")
    replace_weights(saved, (tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(BadInput, match=r"saved: weights: expected the tensors \['bias', .* got \['mean'\]"):
        load_attack(saved)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t["bias"].resize_(5), r"expected bias to be torch.float32 of shape \(192,\)"),
        (lambda t: t.update(bias=t["bias"].double()), r"got torch.float64"),
        (lambda t: t["bias"].fill_(torch.nan), r"expected finite numbers in bias"),
        (lambda t: t.update(extra=torch.zeros(1)), r"expected the tensors"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved: Path, change: Any, sentence: str) -> None:
    tensors = load_file(saved / "weights.safetensors")
    change(tensors)
    replace_weights(saved, tensors)
    with pytest.raises(BadInput, match=sentence):
        load_attack(saved)


@pytest.mark.parametrize("schema", [0, 1, "2", None])
def test_an_unknown_schema_is_refused(saved: Path, schema: Any) -> None:
    edit(saved, schema=schema)
    with pytest.raises(BadInput, match=r"attack\.json: expected schema 2"):
        load_attack(saved)


@pytest.mark.parametrize("document", ["[]", "3", '{"schema": 2}', '{"schema": 2, "class": 3}'])
def test_json_of_another_kind_is_refused(saved: Path, document: str) -> None:
    (saved / "attack.json").write_text(document)
    with pytest.raises(BadInput, match=r"attack\.json: expected"):
        load_attack(saved)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"args": {"penalty": "much"}},
        {"args": {"unknown": 1}, "chosen": {}, "feature_shape": [6], "image_size": 8, "victim": {}},
        {"args": {}, "chosen": {}, "feature_shape": "six", "image_size": 8, "victim": {}},
        {"args": {}, "chosen": [], "feature_shape": [6], "image_size": 8, "victim": {}},
        {"args": 5, "chosen": {}, "feature_shape": [6], "image_size": 8, "victim": {}},
    ],
)
def test_a_description_that_makes_no_attack_is_refused(saved: Path, config: dict[str, Any]) -> None:
    edit(saved, config=config)
    with pytest.raises(BadInput, match=r"saved/attack\.json: expected the description of a featinv\.attacks\.Ridge"):
        load_attack(saved)


def test_shapes_that_disagree_are_refused(saved: Path) -> None:
    edit(saved, feature_shape=[7])
    with pytest.raises(BadInput, match=r"expected feature_shape \(6,\), as the weights have, got \(7,\)"):
        load_attack(saved)


def test_too_many_bytes_are_refused(saved: Path) -> None:
    with pytest.raises(BadInput, match=r"weights\.safetensors: expected at most 10 bytes"):
        load_attack(saved, limit=10)


@pytest.mark.parametrize("path", ["os.system", "builtins.eval", "featinv.attacks.load_attack", "featinv.data.ImageSet"])
def test_classes_that_are_not_attacks_of_ours_are_refused(saved: Path, path: str) -> None:
    edit(saved, **{"class": path})
    with pytest.raises(BadInput, match=rf"saved: class '{path}' is not one of featinv's"):
        load_attack(saved)


def test_a_class_within_is_refused_too(tmp_path: Path) -> None:
    pairs = make_pairs(10)
    save_attack(RandomVector(Ridge().fit(pairs)).fit(pairs), tmp_path / "a")
    document = json.loads((tmp_path / "a" / "attack.json").read_text())
    document["config"]["attack"]["class"] = "os.system"
    edit(tmp_path / "a", config=document["config"])
    with pytest.raises(BadInput, match=r"class 'os.system' is not one of featinv's"):
        load_attack(tmp_path / "a")


FOREIGN = """
import torch

class Grey:
    kind, parameters = "control", 0
    def __init__(self, level=0.5):
        self.level = level
        self.feature_shape, self.image_size, self.victim = (), 0, {}
    def fit(self, pairs):
        self.feature_shape, self.image_size, self.victim = pairs.feature_shape, pairs.image_size, pairs.metadata
        return self
    def reconstruct(self, features):
        return torch.full((len(features), 3, self.image_size, self.image_size), self.level)
    def state(self):
        return {"level": self.level, "feature_shape": list(self.feature_shape), "image_size": self.image_size}, {}
    @classmethod
    def from_state(cls, config, tensors, allow=()):
        grey = cls(config["level"])
        grey.feature_shape, grey.image_size = tuple(config["feature_shape"]), config["image_size"]
        return grey
"""


def test_a_foreign_attack_is_loaded_only_when_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import their_package  # type: ignore[import-not-found]

    save_attack(their_package.Grey(0.25).fit(make_pairs(5)), tmp_path / "grey")
    del sys.modules["their_package"]
    with pytest.raises(BadInput, match=r"grey: class 'their_package.Grey' is not one of featinv's; if you trust"):
        load_attack(tmp_path / "grey")
    assert "their_package" not in sys.modules, "a class that is not trusted must not be imported"
    for allow in (["their_package.Grey"], "their_package.Grey", [their_package.Grey], their_package.Grey):
        images = load_attack(tmp_path / "grey", allow=allow).reconstruct(torch.zeros(2, 6))
        assert torch.equal(images, torch.full((2, 3, 8, 8), 0.25))


def test_an_attack_without_state_is_refused(tmp_path: Path) -> None:
    class Unsaveable:
        pass

    with pytest.raises(BadInput, match=r"Unsaveable: expected an attack with state\(\) and from_state\(\)"):
        save_attack(Unsaveable(), tmp_path / "a")


def test_a_configuration_that_is_not_json_is_refused(tmp_path: Path) -> None:
    attack = Ridge().fit(make_pairs(5))
    for wrong in (float("nan"), {1, 2}):
        attack.victim = {"strength": wrong}
        with pytest.raises(BadInput, match=r"Ridge: expected state\(\) to give a JSON-able configuration"):
            save_attack(attack, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ decoder attacks

FOREIGN_DECODER = """
import torch

class Flat(torch.nn.Module):
    def __init__(self, feature_shape, image_size):
        super().__init__()
        self.feature_shape, self.image_size = feature_shape, image_size
        self.layer = torch.nn.Linear(feature_shape[0], 3 * image_size**2)

    def forward(self, features):
        return self.layer(features).sigmoid().unflatten(1, (3, self.image_size, self.image_size))
"""


def trained(decoder: torch.nn.Module) -> DecoderAttack:
    pairs = make_pairs(12, width=16)
    training = Training(images=8, batch_size=4, holdout=2)
    return DecoderAttack(decoder, MSE(), training).fit(pairs, progress=False)


@pytest.fixture
def listik(tmp_path: Path) -> Path:
    save_attack(trained(Listik(16, 8)), tmp_path / "listik")
    return tmp_path / "listik"


def change_decoder(folder: Path, **args: Any) -> None:
    config = json.loads((folder / "attack.json").read_text())["config"]
    config["decoder"]["args"] |= args
    edit(folder, config=config)


def test_a_decoder_attack_reconstructs_the_same_bit_by_bit(tmp_path: Path) -> None:
    attack, features = trained(Listik(16, 8)), torch.randn(5, 16)
    save_attack(attack, tmp_path / "a")
    assert torch.equal(load_attack(tmp_path / "a").reconstruct(features), attack.reconstruct(features))


def test_weights_of_another_decoder_are_refused(listik: Path, tmp_path: Path) -> None:
    save_attack(trained(Listik(16, 8, mix=True)), tmp_path / "other")
    replace_weights(listik, (tmp_path / "other" / "weights.safetensors").read_bytes())
    with pytest.raises(BadInput, match=r"listik: weights: expected those of the decoder"):
        load_attack(listik)


@pytest.mark.parametrize("args", [{"feature_shape": [32]}, {"image_size": 16}, {"kernel": 4}, {"mix": True}])
def test_a_decoder_of_another_shape_than_its_weights_is_refused(listik: Path, args: dict[str, Any]) -> None:
    change_decoder(listik, **args)
    with pytest.raises(BadInput, match=r"listik: weights: expected"):
        load_attack(listik)


def test_a_decoder_that_asks_for_terabytes_is_refused_before_it_is_built(listik: Path) -> None:
    change_decoder(listik, feature_shape=[16 * 10**11])
    with pytest.raises(BadInput, match=r"listik: weights: expected .*decoder"):
        load_attack(listik)


def test_a_foreign_decoder_is_built_only_when_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_decoder.py").write_text(FOREIGN_DECODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    import their_decoder  # type: ignore[import-not-found]

    attack, features = trained(their_decoder.Flat((16,), 8)), torch.randn(5, 16)
    save_attack(attack, tmp_path / "flat")
    del sys.modules["their_decoder"]
    with pytest.raises(BadInput, match=r"flat: class 'their_decoder.Flat' is not one of featinv's; if you trust"):
        load_attack(tmp_path / "flat")
    assert "their_decoder" not in sys.modules, "a class that is not trusted must not be imported"
    images = load_attack(tmp_path / "flat", allow=["their_decoder.Flat"]).reconstruct(features)
    assert torch.equal(images, attack.reconstruct(features))
