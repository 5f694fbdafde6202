use std::time::Duration;

/// Everything has a limit: how much of anything one request may ask for. The defaults are those of
/// management-api.md, section 9.1, and transformations.md, section 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one uploaded image.
    pub upload_bytes_max: u64,
    /// Bytes of one image in a call of the Images binding, and of a font which it names.
    pub binding_bytes_max: u64,
    /// Pixels of either side, except of WebP (16,383 by its format) and AVIF.
    pub side_max: u32,
    /// Pixels of either side of AVIF.
    pub avif_side_max: u32,
    /// Pixels of a still image, and of all frames of an animation together.
    pub pixels_max: u64,
    /// Pixels of all frames of an animation which is transformed; larger ones are delivered as is.
    pub animation_transform_pixels_max: u64,
    /// Pixels of either side of a rendition.
    pub output_side_max: u32,
    /// Bytes of memory which one rendering may take, estimated before it starts.
    pub render_bytes_max: u64,
    /// Time one rendering may take.
    pub render_deadline: Duration,
    /// Bytes of an image's metadata as compact JSON.
    pub metadata_bytes_max: usize,
    /// Characters of a creator.
    pub creator_chars_max: usize,
    /// Characters of a custom image id.
    pub image_id_chars_max: usize,
    /// Characters of a filename.
    pub filename_chars_max: usize,
    /// Named variants of an account.
    pub variants_max: usize,
    /// Signing keys of an account.
    pub signing_keys_max: usize,
    /// Webhooks of an account.
    pub webhooks_max: usize,
    /// Notification policies of an account.
    pub policies_max: usize,
    /// Sources of imports of an account.
    pub import_sources_max: usize,
    /// Imports of an account which have not ended.
    pub imports_max: usize,
    /// Images on one page of a list.
    pub list_page_max: u32,
    /// Rows which a page-based list may skip.
    pub list_offset_max: u64,
    /// Parts of one multipart form.
    pub form_parts_max: usize,
    /// Bytes of one text part of a form.
    pub form_field_bytes_max: usize,
    /// Bytes of a JSON request body.
    pub json_bytes_max: usize,
    /// Images of one account; `None` is without limit.
    pub images_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_bytes_max: 10 * 1024 * 1024,
            binding_bytes_max: 20_000_000,
            side_max: 12_000,
            avif_side_max: 1_200,
            pixels_max: 100_000_000,
            animation_transform_pixels_max: 50_000_000,
            output_side_max: 12_000,
            render_bytes_max: 4 * 1024 * 1024 * 1024,
            render_deadline: Duration::from_secs(25),
            metadata_bytes_max: 1024,
            creator_chars_max: 1024,
            image_id_chars_max: 1024,
            filename_chars_max: 255,
            variants_max: 100,
            signing_keys_max: 2,
            webhooks_max: 50,
            policies_max: 50,
            import_sources_max: 50,
            imports_max: 10,
            list_page_max: 10_000,
            list_offset_max: 100_000_000,
            form_parts_max: 1_000,
            form_field_bytes_max: 64 * 1024,
            json_bytes_max: 1024 * 1024,
            images_max: None,
        }
    }
}
