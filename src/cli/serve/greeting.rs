//! What a person reads after the first start.

use model::Account;

use crate::config::Config;

/// The addresses, the account, its token, and how to upload and see a first image.
pub(super) fn of(config: &Config, account: &Account, token: &str) -> String {
    let public = config.public_url.as_str();
    let batch = config.batch_url.as_str();
    let (id, hash) = (&account.id, &account.hash);
    format!(
        r#"
Welcome to Calotype. This is a first start: an account and a token were made.

  API           {public}/client/v4
  Delivery      {public}/{hash}/<image id>/<variant>
  Batch API     {batch}/images/v1
  Account id    {id}
  Account hash  {hash}
  API token     {token}
                (shown this once; `calotype token create` makes others)

Upload an image:

  curl -F file=@photo.jpg -H "Authorization: Bearer {token}" \
    {public}/client/v4/accounts/{id}/images/v1

and open the address in its `variants`:

  curl -o public.jpg {public}/{hash}/<image id>/public

Point an official SDK, or anything else which speaks the Cloudflare API, here:

  export CLOUDFLARE_BASE_URL={public}/client/v4
  export CLOUDFLARE_API_TOKEN={token}
  export CLOUDFLARE_ACCOUNT_ID={id}

"#
    )
}
