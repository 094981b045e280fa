use serde::{Deserialize, Serialize};

/// What a capture spot covers around its centre.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpotShape {
    /// A disc (Visium, legacy ST).
    #[default]
    Disc,
    /// A square along the axes, or turned by an angle (bins of Visium HD).
    Square,
}
