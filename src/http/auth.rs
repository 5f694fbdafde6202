//! From credentials to an `Access` (management-api.md, section 2).

use hyper::Request;
use hyper::header::AUTHORIZATION;
use model::{Account, Permission};

use super::App;
use super::error::ApiError;

/// The account of a request whose permission was checked.
pub(super) type Caller = Account;

/// The token in a request: a Bearer token, or the key of `X-Auth-Key` beside `X-Auth-Email`. Given
/// several credentials, the Bearer token counts.
pub(super) fn credentials<B>(request: &Request<B>) -> Result<String, ApiError> {
    let text = |name: &str| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or_default().trim().to_owned())
    };
    if let Some(authorization) = text(AUTHORIZATION.as_str()) {
        let bearer = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let token = bearer.map(|(_, token)| token.trim());
        return match token {
            Some(token) if !token.is_empty() && !token.contains(' ') => Ok(token.to_owned()),
            _ => Err(ApiError::malformed_credentials()),
        };
    }
    match (text("x-auth-email"), text("x-auth-key")) {
        (Some(_), Some(key)) => Ok(key),
        (None, None) if text("x-auth-user-service-key").is_none() => {
            Err(ApiError::no_credentials())
        }
        (None, None) => Err(ApiError::unauthenticated()),
        _ => Err(ApiError::no_credentials()),
    }
}

/// Refuses a request without a valid token which covers this account and permission.
pub(super) async fn require<B>(
    app: &App,
    request: &Request<B>,
    account: &Account,
    permission: Permission,
) -> Result<(), ApiError> {
    let token = credentials(request)?;
    let access = app.service.authenticate(&token).await?;
    let access = access.ok_or_else(ApiError::unauthenticated)?;
    if access.account == account.id && access.permission.allows(permission) {
        Ok(())
    } else {
        Err(ApiError::forbidden())
    }
}
