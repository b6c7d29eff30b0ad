import pytest
import torch

from scsystems.models.sysvi import surgery
from scsystems.nn.layers import CovariateSizes
from scsystems.nn.sysvi.net import SysVINet, SysVISizes

OLD = CovariateSizes(2, (3, 2), 1)
NEW = CovariateSizes(2, (5, 2), 1)


def network(covariates, **options):
    sizes = SysVISizes(
        n_genes=7, covariates=covariates, n_latent=3, n_hidden=6, covariate_init="linear", **options
    )
    return SysVINet(sizes, torch.Generator().manual_seed(0), with_adversary=True).eval()


def test_new_levels_come_last_in_their_own_block():
    # systems 0-1, first covariate 2-4 (new: 5-6), second 7-8, continuous 9
    assert surgery.row_map(OLD, NEW) == [0, 1, 2, 3, 4, 7, 8, 9]
    assert surgery.new_rows(OLD, NEW) == (5, 6)
    embedded = [CovariateSizes(2, c, 1, 4) for c in ((3, 2), (5, 2))]
    assert surgery.new_rows(*embedded) == ()
    assert surgery.new_vectors(*embedded) == ((3, 4), ())


@pytest.mark.parametrize("embedding_dim", [None, 4])
def test_a_grown_network_encodes_known_cells_as_before(embedding_dim):
    old, new = (CovariateSizes(2, c, 1, embedding_dim) for c in ((3, 2), (5, 2)))
    small, large = network(old), network(new)
    large.load_state_dict(surgery.grow(small.state_dict(), old, new))
    g = torch.Generator().manual_seed(1)
    x = torch.rand(8, 7, generator=g)
    system = torch.randint(2, (8,), generator=g)
    categorical = torch.stack([torch.randint(3, (8,)), torch.randint(2, (8,))], 1)
    continuous = torch.rand(8, 1, generator=g)
    for a, b in zip(
        small(x, system, categorical, continuous),
        large(x, system, categorical, continuous),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    if embedding_dim is None:
        weight = large.encoder.hidden.layers[0].covariate_weight
        torch.testing.assert_close(weight[5], weight[2:5].mean(0))
    else:
        table = large.covariates.tables[0]
        torch.testing.assert_close(table[4], table[:3].mean(0))


def changed(net, plan, steps=3):
    """Names (and rows of covariate weights) that training moves, weight decay included."""
    before = {k: v.clone() for k, v in net.state_dict().items()}
    g = torch.Generator().manual_seed(2)
    with surgery.partly_frozen(net, plan):
        free = [p for p in net.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(free, lr=0.1, weight_decay=0.1)
        for _ in range(steps):
            x = torch.rand(16, 7, generator=g)
            system = torch.randint(2, (16,), generator=g)
            # the first covariate's new levels (3, 4) among the known ones
            levels = torch.randint(5, (16,), generator=g), torch.randint(2, (16,), generator=g)
            covariates = net.covariates(
                system, torch.stack(levels, 1), torch.rand(16, 1, generator=g)
            )
            mean, var = net.encoder(x, covariates, True, g)
            out, log_var = net.decoder(mean + var, covariates, True, g)
            net.adversary.learn(mean, system)
            loss = ((out - x) ** 2).mean() + log_var.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    found = {}
    for name, value in net.state_dict().items():
        if not torch.equal(value, before[name]):
            at = (value != before[name]).reshape(len(value), -1).any(1) if value.dim() else None
            found[name] = None if at is None else at.nonzero().flatten().tolist()
    return found


def test_only_new_levels_learn_even_with_weight_decay():
    plan = surgery.QueryTraining(new_rows=(5, 6))
    found = changed(network(NEW), plan)
    assert set(found) == {
        f"{half}.hidden.layers.{i}.covariate_weight"
        for half in ("encoder", "decoder")
        for i in (0, 1)
    }
    assert all(rows == [5, 6] for rows in found.values())


def test_new_vectors_of_embedded_covariates_learn():
    embedded = CovariateSizes(2, (5, 2), 1, 4)
    found = changed(network(embedded), surgery.QueryTraining(new_vectors=((3, 4), ())))
    assert found == {"covariates.tables.0": [3, 4]}


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ("freeze_expression", "encoder.hidden.layers.0.weight"),
        ("freeze_decoder_first_layer", "decoder.hidden.layers.0.weight"),
        ("freeze_batchnorm_encoder", "encoder.hidden.layers.1.norm.running_mean"),
        ("freeze_batchnorm_decoder", "decoder.hidden.layers.1.norm.weight"),
        ("freeze_classifier", "adversary.layers.0.weight"),
    ],
)
def test_each_option_frees_its_part(option, name):
    default = changed(network(NEW), surgery.QueryTraining(new_rows=(5, 6)))
    freed = changed(network(NEW), surgery.QueryTraining(new_rows=(5, 6), **{option: False}))
    assert name in set(freed) - set(default)


def test_unfrozen_trains_everything_and_dropout_can_be_switched_off():
    net = network(NEW)
    found = changed(net, surgery.QueryTraining(new_rows=(5, 6), unfrozen=True))
    assert "encoder.mean.weight" in found
    with surgery.partly_frozen(net, surgery.QueryTraining(freeze_dropout=True)):
        assert net.encoder.hidden.layers[0].dropout_rate == 0
    assert net.encoder.hidden.layers[0].dropout_rate > 0


def test_afterwards_the_network_is_as_free_as_before():
    net = network(NEW)
    net.decoder.log_var.requires_grad_(False)
    flags = {k: p.requires_grad for k, p in net.named_parameters()}
    names = list(net.state_dict())
    with pytest.raises(RuntimeError, match="in between"):
        with surgery.partly_frozen(net, surgery.QueryTraining(new_rows=(5, 6))):
            raise RuntimeError("in between")
    assert {k: p.requires_grad for k, p in net.named_parameters()} == flags
    assert list(net.state_dict()) == names or set(net.state_dict()) == set(names)
    assert not net.encoder.hidden.layers[0].norm_frozen
    assert not net.adversary.frozen


def test_plan_survives_json():
    import json
    from dataclasses import asdict

    plan = surgery.QueryTraining((1,), ((2,), ()), freeze_expression=False)
    assert surgery.QueryTraining.from_json(json.loads(json.dumps(asdict(plan)))) == plan
    assert not surgery.QueryTraining().trains_anything
    assert plan.trains_anything
