"""Which parameters matter: designs as spaces, indices over labelled results."""

from toolkit.optimizers.sensitivities import sensitivity

__all__ = ["sensitivity"]
