use std::time::Duration;

use serde_json::{Value, json};
use service::holdings::{Check, Checked, Finding, Repair};

use super::output::{Bar, Output, note, with_causes};
use super::setting_flags::QuietFlags;
use super::{Error, Variables, block_on, keeping, token};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Read every blob and compare its checksum
    #[arg(long)]
    deep: bool,
    /// Delete bytes which belong to no image
    #[arg(long)]
    repair: bool,
    /// Also delete images whose bytes are missing or not those which were uploaded
    #[arg(long, requires = "repair")]
    delete_images: bool,
    /// Repair even where no image at all has its bytes
    #[arg(long, requires = "repair")]
    force: bool,
    /// How old bytes without image must be to count
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = token::lifetime)]
    older_than: Duration,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    settings: QuietFlags,
}

impl Arguments {
    pub(super) fn run(self, variables: &Variables) -> Result<(), Error> {
        let checked = block_on(async {
            let config = keeping::config(&self.settings, &[], variables)?;
            let (holdings, _) = keeping::open_beside(&config).await?;
            let check = Check {
                deep: self.deep,
                age_min: self.older_than,
                repair: Repair {
                    orphans: self.repair,
                    images: self.delete_images,
                    force: self.force,
                },
            };
            let bar = Bar::new();
            let output = self.output;
            let mut found = |finding: &Finding, repaired: bool| {
                let (json, text) = describe(finding, repaired);
                if let Err(error) = bar.suspend(|| output.item(&json, text)) {
                    note(with_causes(&error));
                }
            };
            let checked = holdings.check(check, &bar, &mut found).await?;
            bar.end();
            holdings.catalog.close().await?;
            Ok(checked)
        })?;
        self.output.item(&sums(&checked), sentence(&checked))?;
        match checked.left() {
            0 => Ok(()),
            1 => Err(Error::Failed("1 difference is left".to_owned())),
            left => Err(Error::Failed(format!("{left} differences are left"))),
        }
    }
}

fn describe(finding: &Finding, repaired: bool) -> (Value, String) {
    let (kind, words) = match finding {
        Finding::Missing(_) => ("missing", "has no bytes".to_owned()),
        Finding::WrongSize(named, bytes) => (
            "wrong_size",
            format!("has {bytes} bytes instead of {}", named.source.bytes),
        ),
        Finding::WrongDigest(_) => (
            "wrong_digest",
            "has other bytes than were uploaded".to_owned(),
        ),
        Finding::Orphan(stored) => (
            "orphan",
            format!("of {} bytes belongs to no image", stored.bytes),
        ),
    };
    let (named, key) = match finding {
        Finding::Missing(named) | Finding::WrongSize(named, _) | Finding::WrongDigest(named) => {
            (Some(named), &named.source.blob)
        }
        Finding::Orphan(stored) => (None, &stored.key),
    };
    let json = json!({
        "kind": kind,
        "account": named.map(|named| named.account.as_str()),
        "image": named.map(|named| named.id.as_str()),
        "blob": key.to_string(),
        "repaired": repaired,
    });
    let what = match named {
        Some(named) => format!("image {} of account {}", named.id, named.account),
        None => format!("blob {key}"),
    };
    let end = if repaired { ": deleted" } else { "" };
    (json, format!("{what} {words}{end}"))
}

fn sums(checked: &Checked) -> Value {
    let Checked {
        images,
        blobs,
        young,
        missing,
        wrong,
        orphans,
        repaired,
    } = checked;
    json!({
        "kind": "sum",
        "images": images,
        "blobs": blobs,
        "young": young,
        "missing": missing,
        "wrong": wrong,
        "orphans": orphans,
        "repaired": repaired,
    })
}

fn sentence(checked: &Checked) -> String {
    let mut parts = vec![
        format!("{} images", checked.images),
        format!("{} blobs", checked.blobs),
    ];
    let others = [
        (checked.missing, "without bytes"),
        (checked.wrong, "with wrong bytes"),
        (checked.orphans, "belonging to no image"),
        (checked.young, "too young to judge"),
        (checked.repaired, "repaired"),
    ];
    let others = others.iter().filter(|(number, _)| *number > 0);
    parts.extend(others.map(|(number, words)| format!("{number} {words}")));
    parts.join(", ")
}
