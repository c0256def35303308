"""The configuration: every option is defined here.

The YAML files under `conf/` hold the choices and what they override; the dataclasses in this
package hold the defaults. Hydra composes the two (`aecli/cli/compose.py`), `to_config` converts the
result to a `TrainConfig` once, and all other modules see only that.
"""

from aecli.config.augment import AugmentConfig
from aecli.config.checks import check_objective, check_unread_keys
from aecli.config.choices import (
    Activation,
    Bottleneck,
    CorruptionKind,
    Initialisation,
    Keep,
    Loss,
    Precision,
    RegularizerKind,
    Schedule,
    Target,
    TrackerKind,
    Upsampling,
)
from aecli.config.loading import (
    RENAMED_KEYS,
    as_text,
    config_groups,
    experiments,
    explain,
    field_docs,
    from_plain,
    from_yaml,
    model_values,
    optimizer_choice,
    plain,
    settings,
    to_config,
    to_yaml,
)
from aecli.config.model import MODEL_CONFIGS, ConvConfig, FCConfig, LayerConfig, ModelConfig
from aecli.config.objective import RegularizerConfig
from aecli.config.optimization import CheckpointConfig, OptimizerConfig
from aecli.config.schema import (
    FOLDER,
    SHORT_KEYS,
    CorruptionConfig,
    DataConfig,
    TrainConfig,
    UpsampleConfig,
    default_data_dir,
    short_key,
)

__all__ = [
    "FOLDER",
    "MODEL_CONFIGS",
    "RENAMED_KEYS",
    "SHORT_KEYS",
    "Activation",
    "AugmentConfig",
    "Bottleneck",
    "CheckpointConfig",
    "ConvConfig",
    "CorruptionConfig",
    "CorruptionKind",
    "DataConfig",
    "FCConfig",
    "Initialisation",
    "Keep",
    "LayerConfig",
    "Loss",
    "ModelConfig",
    "OptimizerConfig",
    "Precision",
    "RegularizerConfig",
    "RegularizerKind",
    "Schedule",
    "Target",
    "TrackerKind",
    "TrainConfig",
    "UpsampleConfig",
    "Upsampling",
    "as_text",
    "check_objective",
    "check_unread_keys",
    "config_groups",
    "default_data_dir",
    "experiments",
    "explain",
    "field_docs",
    "from_plain",
    "from_yaml",
    "model_values",
    "optimizer_choice",
    "plain",
    "settings",
    "short_key",
    "to_config",
    "to_yaml",
]
