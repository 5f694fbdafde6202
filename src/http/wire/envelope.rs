use serde::Serialize;
use serde_json::Value;

/// What every JSON answer is (management-api.md, section 1.2).
#[derive(Debug, Serialize)]
pub(in crate::http) struct Envelope<T> {
    pub(in crate::http) result: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) result_info: Option<Value>,
    pub(in crate::http) success: bool,
    pub(in crate::http) errors: Vec<ErrorItem>,
    pub(in crate::http) messages: Vec<Value>,
}

impl<T> Envelope<T> {
    /// A success.
    pub(in crate::http) fn of(result: T) -> Self {
        Self {
            result,
            result_info: None,
            success: true,
            errors: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// The same with `result_info`; `null` is sent as such.
    pub(in crate::http) fn with_info(mut self, info: Value) -> Self {
        self.result_info = Some(info);
        self
    }
}

impl Envelope<()> {
    /// A failure; `result` is `null`.
    pub(in crate::http) fn failure(errors: Vec<ErrorItem>) -> Self {
        Self {
            result: (),
            result_info: None,
            success: false,
            errors,
            messages: Vec::new(),
        }
    }
}

/// An entry of `errors[]` or `messages[]`.
#[derive(Debug, Serialize)]
pub(in crate::http) struct ErrorItem {
    pub(in crate::http) code: u32,
    pub(in crate::http) message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) error_chain: Vec<ErrorItem>,
}

impl ErrorItem {
    pub(in crate::http) fn new(code: u32, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            error_chain: Vec::new(),
        }
    }
}
