"""The auxiliary task, and gradients shared between processes."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from napari_inter2former.model.objects import STRIDE
from napari_inter2former.training.auxiliary import dense_loss, dense_targets
from napari_inter2former.training.parallel import add_up, agree, average_gradients


def test_offsets_lead_to_the_centre_of_each_object() -> None:
    labels = torch.zeros(2, 64, 96, dtype=torch.int32)
    labels[0, 8:24, 8:40] = 3
    labels[0, 40:56, 60:92] = 7
    labels[1, 0:32, 0:32] = 3  # the same number in another image is another object
    targets = dense_targets(labels)
    assert targets.foreground.sum() == 2 * 4 * 8 + 8 * 8
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(24), indexing="ij")
    inside = labels[0, STRIDE // 2 :: STRIDE, STRIDE // 2 :: STRIDE] == 7
    side = inside.sum().sqrt()
    place = torch.stack((rows[inside], columns[inside]), -1)
    centre = place + targets.offsets[0][inside] * side
    torch.testing.assert_close(centre, torch.tensor([11.5, 18.5]).expand_as(centre))


def test_borders_lie_where_labels_change() -> None:
    labels = torch.ones(1, 32, 32, dtype=torch.int32)
    labels[:, :, 16:] = 2
    border = dense_targets(labels).border[0]
    assert border.any(0).nonzero().flatten().tolist() == [3, 4]


def test_right_maps_cost_nothing() -> None:
    labels = torch.zeros(1, 32, 32, dtype=torch.int32)
    labels[:, 8:24, 8:24] = 1
    targets = dense_targets(labels)
    logits = [torch.where(x, 20.0, -20.0) for x in (targets.foreground, targets.border)]
    maps = torch.cat((torch.stack(logits, -1), targets.offsets), -1)
    assert dense_loss(maps, targets) < 1e-6
    assert dense_loss(-maps, targets) > 1
    assert dense_loss(maps, dense_targets(torch.zeros_like(labels))).isfinite()


def work(rank: int, folder: str) -> None:
    """Do one process's part: gradients of 1 and 3, counts of 1 and 2."""
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    first, second = torch.zeros(2, 3, requires_grad=True), torch.zeros(4, requires_grad=True)
    (first.sum() * (1 + 2 * rank) + second.sum() * rank).backward()
    average_gradients([first, torch.zeros(1, requires_grad=True), second])
    counts = torch.tensor([1.0 + rank])
    add_up(counts)
    chosen = agree(torch.tensor([float(rank)]))
    torch.save([first.grad, second.grad, counts, chosen], f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_processes_agree(tmp_path: Path) -> None:
    mp.start_processes(work, (str(tmp_path),), nprocs=2, start_method="spawn")
    for rank in range(2):
        first, second, counts, chosen = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert (first == 2).all()
        assert (second == 0.5).all()
        assert float(counts) == 3
        assert float(chosen) == 0


def test_a_single_process_shares_with_nobody() -> None:
    x = torch.ones(3, requires_grad=True)
    x.sum().backward()
    average_gradients([x])
    counts = torch.ones(2)
    add_up(counts)
    assert x.grad is not None
    assert (x.grad == 1).all()
    assert (counts == 1).all()
