"""AdamW in one TensorFlow operation a variable.

In: gradients. Out: variables changed in place. The formula and the optimiser's variables are those
of keras.optimizers.AdamW, which is a dozen operations a variable, each over all its numbers, and
asks the schedule for the rate anew for each. With InceptionV3's 190 variables that was more than
half of what tracing a step took (docs/field-log.md, 2026-11-28).
"""

from typing import Any, Final

import keras
import tensorflow as tf

NOT_DECAYED: Final = ("bias", "beta", "gamma")
"""As Loshchilov & Hutter and timm do it: no decay of biases and normalisation parameters."""


class FusedAdamW(keras.optimizers.Adam):  # type: ignore[misc]  # Keras ships no types
    """AdamW (Loshchilov & Hutter 2019).

    Args:
      learning_rate: a number or a schedule.
      decay: a step takes this share, times the rate, off every variable not in NOT_DECAYED.
      **arguments: those of keras.optimizers.Adam.
    """

    def __init__(self, learning_rate: Any, *, decay: float, **arguments: Any) -> None:
        super().__init__(learning_rate, **arguments)
        self._decay = decay

    def update_step(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Changes one variable."""
        dtype = variable.dtype
        rate, step = tf.cast(learning_rate, dtype), tf.cast(self.iterations + 1, dtype)
        index = self._get_variable_index(variable)
        if not any(name in variable.name for name in NOT_DECAYED):
            variable.assign_sub(variable * (self._decay * rate))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=rate,
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )
