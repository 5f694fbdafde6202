//! What zones are told, as the text of a column.

use model::ZoneConfigs;
use serde_json::Value;

pub(super) fn of(zones: &ZoneConfigs) -> String {
    Value::Object(zones.to_json()).to_string()
}

/// `None` if this program never writes such a text.
pub(super) fn read(text: &str) -> Option<ZoneConfigs> {
    ZoneConfigs::from_json(&serde_json::from_str(text).ok()?)
}
