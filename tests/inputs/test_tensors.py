import numpy as np
import pytest

import toolkit as tk
from toolkit.inputs import held
from toolkit.stages.frozen_arguments import thaw
from toolkit.stages.preparing import prepare
from toolkit.stages.stage import as_stage

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(12.0).reshape(3, 4),
        torch.arange(4000).reshape(40, 100).T[::3],
        torch.tensor(3.5),
        torch.zeros(0, 5),
        torch.arange(900).to(torch.bfloat16),
        torch.tensor([1 + 2j, 3]).conj(),
        torch.tensor([True, False]),
        torch.arange(900.0, requires_grad=True),
        torch.nn.Parameter(torch.arange(900.0), requires_grad=False),
        torch.eye(30).to_sparse(),
    ],
    ids=lambda tensor: f"{tensor.dtype}-{tuple(tensor.shape)}",
)
def test_any_tensor_comes_back_equal(tensor):
    found = tk.freeze({"t": tensor}).get()["t"]
    assert type(found) is type(tensor)
    assert found.dtype == tensor.dtype
    assert found.shape == tensor.shape
    assert found.requires_grad == tensor.requires_grad
    assert torch.equal(found.to_dense(), tensor.to_dense())


def test_a_module_keeps_its_tied_weights():
    layer = torch.nn.Linear(30, 40)
    tied = torch.nn.Linear(30, 40)
    tied.weight = layer.weight
    found = tk.freeze(torch.nn.ModuleList([layer, tied])).get()
    assert found[0].weight is found[1].weight
    x = torch.ones(30)
    assert torch.equal(found[0](x), layer(x))


def test_large_tensors_are_mapped():
    found = tk.freeze(torch.arange(100_000.0)).get()
    assert found.data_ptr() % 64 == 0
    with open("/proc/self/maps") as maps:
        ranges = [line.split() for line in maps if ".frozen" in line]
    spans = [[int(end, 16) for end in each[0].split("-")] for each in ranges]
    assert any(low <= found.data_ptr() < high for low, high in spans)


def test_writes_stay_out_of_the_file():
    frozen = tk.freeze(torch.zeros(1000))
    frozen.get().add_(1)
    held.drop(frozen.token)
    assert frozen.get().sum() == 0


@pytest.mark.parametrize("freezable", ["tensor", "view", "in a dict"])
def test_a_run_that_writes_to_a_tensor_fails_alone(freezable):
    weights = torch.ones(1000)

    def careless(x, data):
        tensor = data["w"] if freezable == "in a dict" else data
        if x == 3:
            (tensor[:5] if freezable == "view" else tensor).mul_(2)
        return float(tensor.sum())

    sweep = tk.Sweep(
        careless,
        {"x": range(8)},
        frozen={"data": {"w": weights} if freezable == "in a dict" else weights},
    )
    data = sweep.run(progress=False, order="given")
    table = sweep.failures()
    assert table.x.tolist() == [3]
    assert table.exception.tolist() == ["toolkit.errors.FrozenMutatedError"]
    assert "wrote to 'data'" in table.message[0]
    assert data.careless.drop_sel(x=3).values.tolist() == [1000.0] * 7
    with pytest.raises(tk.FrozenMutatedError, match=r"'data'.*'careless'"):
        sweep.reproduce(x=3)
    assert sweep.reproduce(x=4) == 1000


def test_a_run_that_writes_and_raises_is_told_of_the_write():
    def careless(x, data):
        data.zero_()
        raise KeyError(x)

    call = thaw(
        prepare([as_stage(careless)], tk.grid(x=[1]), frozen={"data": torch.ones(9)})
        .stages[0]
        .binding.call
    )
    with pytest.raises(tk.FrozenMutatedError) as caught:
        call.function(1, *call.constants.values())
    assert isinstance(caught.value.__cause__, KeyError)


def test_copies_on_a_device_are_made_once_and_apart():
    values = {"a": np.arange(5.0), "b": [torch.ones(3), "text"], "m": torch.nn.Linear(2, 2)}
    frozen = tk.freeze(values)
    found = frozen.get(device="cpu")
    assert frozen.get(device=torch.device("cpu")) is found
    found["a"].add_(1)
    found["b"][0].add_(1)
    found["m"].weight.data.add_(1)
    assert frozen.get()["a"].tolist() == values["a"].tolist()
    assert frozen.get()["b"][0].tolist() == [1, 1, 1]
    assert torch.equal(frozen.get()["m"].weight, values["m"].weight)
    with pytest.raises(tk.FrozenError, match="object cannot be moved to a device"):
        tk.freeze(object(), name="thing").get(device="cpu")
