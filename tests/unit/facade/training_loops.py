"""A user's training function of toy nets, with every hook."""

from __future__ import annotations

from inc_core import common
from inc_core.testing.toy import make_data
from inc_core.testing.toy.training import ToyLoss, cross_entropy, cross_entropy_gradient


def loader_of(model, samples=256, batch_size=32):
    return common.DataLoader(make_data(model, samples), batch_size=batch_size)


def make_train(hooks, loader, epochs=5, rate=0.02, distill=False):
    """Return a function that trains a net and calls the hooks of ``hooks``."""

    def train(net):
        for epoch in range(epochs):
            hooks.on_epoch_begin(epoch)
            for step, (x, labels) in enumerate(loader):
                hooks.on_step_begin(step)
                logits = net.forward(x)
                loss = ToyLoss(
                    cross_entropy(logits, labels), cross_entropy_gradient(logits, labels)
                )
                if distill:
                    loss = hooks.on_after_compute_loss(x, logits, loss)
                net.backward(loss.gradient)
                hooks.on_before_optimizer_step()
                net.step(rate)
                hooks.on_step_end()
            hooks.on_epoch_end()

    return train
