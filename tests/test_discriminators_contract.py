"""The public contract check notices discriminators that break it: a check that cannot fail checks nothing."""

import pytest
import torch
from torch import nn

from featinv.discriminators import DCGAN, Discriminator
from featinv.testing import check_discriminator


class Good(Discriminator):
    """What the defects below are planted in."""

    def __init__(self) -> None:
        super().__init__(32, 4)
        self.first = nn.Conv2d(3, 4, 4, stride=4)
        self.last = nn.Linear(4, 1)

    def hidden(self, images):
        return self.first(images).tanh()

    def head(self, hidden, features):
        return self.last(hidden.mean((2, 3)))[:, 0]


def test_a_good_one_passes():
    check_discriminator(Good())


class MixesItsBatch(Good):
    def hidden(self, images):
        return super().hidden(images - images.mean(0, keepdim=True) if self.training else images)


class MixesItsBatchWhenEvaluated(Good):
    def hidden(self, images):
        return super().hidden(images if self.training else images - images.mean(0, keepdim=True))


class ClaimsToMix(Good):
    batch_statistics = True


class IgnoresItsVectors(Good):
    conditional = True


class LooksAtVectorsInSilence(Good):
    def head(self, hidden, features):
        return super().head(hidden, features) + features.sum(1)


class TakesAnySize(Good):
    def forward(self, images, features=None):
        return self.head(self.hidden(images), features)


class LeavesAParameterOut(Good):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(2))


class RegistersItsBackbone(Good):
    def __init__(self) -> None:
        super().__init__()
        self.first.requires_grad_(False)


class StopsTheGradient(Good):
    def hidden(self, images):
        return super().hidden(images.detach()) + 0 * images.mean()


class SaysNothing(Good):
    def head(self, hidden, features):
        return 0 * super().head(hidden, features)


class OverflowsOutsideTheUnitRange(Good):
    def hidden(self, images):
        return super().hidden(images.sqrt())


class RefusesNothing(Good):
    conditional = True

    def head(self, hidden, features):
        extra = 0 if features is None else features.sum(1)
        return super().head(hidden, features) + extra


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (MixesItsBatch, "batch_statistics is False, but in train mode a logit depends"),
        (MixesItsBatchWhenEvaluated, "other rows of the batch in eval mode"),
        (ClaimsToMix, "batch_statistics is True, but in train mode a logit does not depend"),
        (IgnoresItsVectors, "conditional is True, but its logits do not depend on the vectors"),
        (LooksAtVectorsInSilence, "conditional is False, but its logits depend on the vectors"),
        (TakesAnySize, "must raise BadInput for images of another size"),
        (LeavesAParameterOut, "no finite gradient reaches the parameter unused"),
        (RegistersItsBackbone, "first.weight was frozen, and requires_grad_.True. unfroze it"),
        (StopsTheGradient, "the gradient of a row is zero"),
        (SaysNothing, "different logits for different images|the gradient of a row is zero"),
        (OverflowsOutsideTheUnitRange, "must give augmented images .* finite logits"),
        (RefusesNothing, "must raise BadInput without vectors"),
    ],
)
def test_a_planted_defect_is_found(kind, sentence):
    with pytest.raises(AssertionError, match=sentence):
        check_discriminator(kind())


def test_it_tries_a_copy():
    network = DCGAN(32, width=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    check_discriminator(network)
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in network.parameters())
