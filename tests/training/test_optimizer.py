"""Muon: its steps, which parameters it takes, and its state in checkpoints."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from napari_inter2former.training.optimizer import (
    Muon,
    optimizer_state,
    optimizers,
    orthogonal,
    restore_optimizers,
)


@pytest.mark.parametrize("shape", [(3, 20, 20), (2, 16, 50), (2, 50, 16)])
def test_singular_vectors_stay_and_values_come_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    stack = torch.randn(shape)
    u, _, v = torch.linalg.svd(stack, full_matrices=False)
    values = torch.diagonal(u.mT @ orthogonal(stack) @ v.mT, dim1=1, dim2=2)
    assert values.min() > 0.3
    assert values.max() < 1.3
    assert 0.7 < values.median() < 1.2
    rebuilt = u @ torch.diag_embed(values) @ v
    torch.testing.assert_close(orthogonal(stack), rebuilt, rtol=0, atol=1e-4)
    assert not orthogonal(torch.zeros(shape)).any()


def test_a_step_is_as_large_as_told_for_each_kind_of_weights() -> None:
    torch.manual_seed(0)
    weights = [Parameter(torch.randn(*s)) for s in [(32, 64), (16, 8, 3, 3), (4, 32, 16)]]
    before = [p.detach().clone() for p in weights]
    for p in weights:
        p.grad = torch.randn_like(p) * 1e3
    Muon(weights, learning_rate=0.1, weight_decay=0.0).step()
    for p, old in zip(weights, before, strict=True):
        change = (p.detach() - old).square().mean().sqrt()
        assert 0.012 < change < 0.024  # 0.2 * 0.1, at singular values of about one


def test_hidden_matrices_go_to_muon_and_all_else_to_adamw() -> None:
    hidden = [Parameter(torch.ones(*s)) for s in [(16, 16), (16, 4, 2, 2), (2, 16, 20)]]
    others = [Parameter(torch.ones(*s)) for s in [(1, 64), (64, 1, 3, 3), (16,)]]
    muon, adamw = optimizers([*hidden, *others], "muon", 1e-3, 0.1)
    assert isinstance(muon, Muon)
    assert [id(p) for p in muon.param_groups[0]["params"]] == [id(p) for p in hidden]
    assert [g["weight_decay"] for g in adamw.param_groups] == [0.1, 0.0]
    assert sum(len(g["params"]) for g in adamw.param_groups) == 3
    (alone,) = optimizers([*hidden, *others], "adamw", 1e-3, 0.1)
    assert sum(len(g["params"]) for g in alone.param_groups) == 6
    with pytest.raises(ValueError, match="one of"):
        optimizers(hidden, "sgd", 1e-3, 0.1)


def test_state_goes_on_and_begins_afresh_where_the_optimizer_changed() -> None:
    def train(kind: str, saved: dict[str, dict[str, torch.Tensor]] | None) -> tuple[object, ...]:
        weights = {"matrix": Parameter(torch.ones(16, 16)), "vector": Parameter(torch.ones(4))}
        names = {p: name for name, p in weights.items()}
        used = optimizers(weights.values(), kind, 1e-2, 0.0)
        restore_optimizers(used, names, saved or {})
        restored = {name for name, p in weights.items() if any(p in o.state for o in used)}
        for p in weights.values():
            p.grad = torch.linspace(-1, 1, p.numel()).view_as(p)
        for optimizer in used:
            optimizer.step()
        return restored, optimizer_state(used, names)

    _, muon = train("muon", None)
    _, adamw = train("adamw", None)
    assert set(muon["matrix"]) == {"exp_avg"}  # type: ignore[index]
    restored, again = train("muon", muon)  # type: ignore[arg-type]
    assert restored == {"matrix", "vector"}
    assert again["vector"]["step"] == 2  # type: ignore[index]
    assert again["vector"]["exp_avg"].data_ptr() != muon["vector"]["exp_avg"].data_ptr()  # type: ignore[index]
    assert train("muon", adamw)[0] == {"matrix", "vector"}  # type: ignore[arg-type]
    assert train("adamw", muon)[0] == {"vector"}  # type: ignore[arg-type]
