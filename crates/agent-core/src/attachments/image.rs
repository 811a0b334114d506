//! Images as a model takes them: of a known format, and no larger than it looks at.

use std::{
    fs::File,
    io::{Cursor, Read},
    os::unix::fs::FileExt,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use image::{
    DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, codecs::jpeg::JpegEncoder,
    imageops::FilterType,
};

/// The longest edge in pixels that Claude looks at; it scales down what is larger itself, after it was sent.
const LONGEST_EDGE: u32 = 1568;
/// How many pixels are decoded at most: a small file can claim any number, and each takes four bytes.
const MOST_PIXELS: u64 = 40_000_000;
/// The largest file that is looked at, in bytes.
const LARGEST_FILE: u64 = 64 << 20;
/// The largest image that Claude's API takes is 5 MB in base64.
const LARGEST_IMAGE: usize = 3_700_000;
const JPEG_QUALITY: u8 = 85;

/// Why something can't be shown as an image.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotShown {
    /// It is none that models look at; which is no fault.
    #[error("not a PNG, JPEG, GIF or WebP image")]
    OtherFormat,
    /// It has too many pixels.
    #[error("{width} × {height} pixels are too many")]
    TooManyPixels { width: u32, height: u32 },
    /// Its file is too large.
    #[error("the file is too large")]
    TooLarge,
    /// It is damaged.
    #[error("the image is damaged")]
    Damaged(#[source] ImageError),
    /// Its file can't be read.
    #[error("the file can't be read")]
    Read(#[source] std::io::Error),
}

/// Whether a file is an image that models look at, judged by its first bytes.
pub(super) fn is_image(file: &File) -> bool {
    let mut head = [0; 32];
    let read = file.read_at(&mut head, 0);
    read.is_ok_and(|read| format_of(&head[..read]).is_some())
}

/// The image in a file, as a `data:` URL.
///
/// # Errors
/// [`NotShown`] says why it can't be shown.
pub(super) fn from_file(file: &mut File) -> Result<String, NotShown> {
    let mut bytes = Vec::new();
    let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
    if read.map_err(NotShown::Read)? as u64 > LARGEST_FILE {
        return Err(NotShown::TooLarge);
    }
    data_url(bytes)
}

/// The same image no larger than a model looks at, if `url` is a `data:` URL of one; anything else is left to the model.
///
/// # Errors
/// [`NotShown`] if it is one, and can't be shown.
pub(super) fn scaled(url: &str) -> Result<Option<String>, NotShown> {
    let data = url
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(";base64,"))
        .and_then(|(_, data)| STANDARD.decode(data.trim()).ok());
    match data.map(data_url) {
        None | Some(Err(NotShown::OtherFormat)) => Ok(None),
        Some(shown) => shown.map(Some),
    }
}

fn data_url(bytes: Vec<u8>) -> Result<String, NotShown> {
    let format = format_of(&bytes).ok_or(NotShown::OtherFormat)?;
    let (width, height) = dimensions(&bytes, format)?;
    if width.max(height) <= LONGEST_EDGE && bytes.len() <= LARGEST_IMAGE {
        return Ok(encoded(format, &bytes));
    }
    let image = decode(&bytes, format)?;
    drop(bytes);
    let image = image.resize(
        LONGEST_EDGE.min(image.width().max(1)),
        LONGEST_EDGE.min(image.height().max(1)),
        FilterType::Triangle,
    );
    let (format, bytes) = encode(&image, format)?;
    Ok(encoded(format, &bytes))
}

fn format_of(bytes: &[u8]) -> Option<ImageFormat> {
    use ImageFormat::{Gif, Jpeg, Png, WebP};
    let format = image::guess_format(bytes).ok()?;
    matches!(format, Png | Jpeg | Gif | WebP).then_some(format)
}

fn dimensions(bytes: &[u8], format: ImageFormat) -> Result<(u32, u32), NotShown> {
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    let (width, height) = reader.into_dimensions().map_err(NotShown::Damaged)?;
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(NotShown::TooManyPixels { width, height });
    }
    Ok((width, height))
}

fn decode(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, NotShown> {
    let reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut decoder = reader.into_decoder().map_err(NotShown::Damaged)?;
    // Cameras say how the picture is to be turned, and encoding it anew would forget that.
    let orientation = decoder.orientation().map_err(NotShown::Damaged)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(NotShown::Damaged)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Photos stay photos; what may have sharp edges or transparent parts goes without loss, unless that is too large.
fn encode(image: &DynamicImage, source: ImageFormat) -> Result<(ImageFormat, Vec<u8>), NotShown> {
    let mut bytes = Vec::new();
    if source != ImageFormat::Jpeg {
        image
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .map_err(NotShown::Damaged)?;
        if bytes.len() <= LARGEST_IMAGE {
            return Ok((ImageFormat::Png, bytes));
        }
        bytes.clear();
    }
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY)
        .encode_image(&image.to_rgb8())
        .map_err(NotShown::Damaged)?;
    Ok((ImageFormat::Jpeg, bytes))
}

fn encoded(format: ImageFormat, bytes: &[u8]) -> String {
    let mut url = format!("data:{};base64,", format.to_mime_type());
    STANDARD.encode_string(bytes, &mut url);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        DynamicImage::new_rgb8(width, height)
            .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
            .unwrap();
        bytes
    }

    fn decoded(url: &str) -> DynamicImage {
        let (_, data) = url.split_once(";base64,").unwrap();
        image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap()
    }

    #[test]
    fn an_image_that_fits_stays_byte_for_byte() {
        let bytes = png(1568, 20);
        let url = data_url(bytes.clone()).unwrap();
        assert_eq!(
            url,
            format!("data:image/png;base64,{}", STANDARD.encode(bytes))
        );
    }

    #[test]
    fn a_larger_one_is_scaled_to_its_long_edge() {
        let url = data_url(png(4000, 1000)).unwrap();
        let image = decoded(&url);
        assert_eq!((image.width(), image.height()), (1568, 392));
        let narrow = decoded(&data_url(png(10, 9000)).unwrap());
        assert_eq!(narrow.height(), 1568);
        assert!(narrow.width() >= 1);
    }

    #[test]
    fn every_format_that_models_know_is_scaled() {
        for format in [ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            let mut bytes = Vec::new();
            DynamicImage::new_rgb8(2000, 500)
                .write_to(&mut Cursor::new(&mut bytes), format)
                .unwrap();
            let image = decoded(&data_url(bytes).unwrap());
            assert_eq!((image.width(), image.height()), (1568, 392), "{format:?}");
        }
    }

    #[test]
    fn a_file_that_claims_too_many_pixels_is_not_decoded() {
        // The size is in the first chunk, which has a checksum of its own.
        let mut bomb = png(1, 1);
        bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
        let checksum = crc(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        let refused = data_url(bomb).unwrap_err();
        assert!(
            matches!(refused, NotShown::TooManyPixels { width: 0xffff, .. }),
            "{refused:?}"
        );
    }

    /// PNG's checksum, bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        })
    }

    #[test]
    fn damage_and_other_formats_are_told_apart() {
        let mut cut = png(3000, 3000);
        cut.truncate(200);
        assert!(matches!(data_url(cut), Err(NotShown::Damaged(_))));
        assert!(matches!(
            data_url(b"BM bitmap".to_vec()),
            Err(NotShown::OtherFormat)
        ));
        assert!(scaled("https://a/b.png").unwrap().is_none());
        assert!(
            scaled("data:image/svg+xml;base64,PHN2Zz4=")
                .unwrap()
                .is_none()
        );
    }
}
