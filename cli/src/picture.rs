//! What pictures share: a font of our own, colours, and how they become a file.

use std::fmt::Display;

use plotters::style::{FontStyle, RGBColor, register_font};

/// What texts are drawn with. Whoever shows an SVG takes a font of theirs.
pub const FONT: &str = "sans-serif";
/// Printable ASCII of DejaVu Sans, for PNGs on machines without fonts.
const GLYPHS: &[u8] = include_bytes!("../assets/DejaVuSans-ascii.ttf");

/// Texts and lines that are read.
pub const INK: RGBColor = RGBColor(31, 41, 55);
/// Those that are looked up.
pub const FAINT: RGBColor = RGBColor(107, 114, 128);

/// Makes the font known. To be called before text is drawn.
pub fn register() -> Result<(), String> {
    let registered = register_font(FONT, FontStyle::Normal, GLYPHS);
    registered.map_err(|_| "the font is damaged".into())
}

/// A PNG of RGB dots.
pub fn png(dots: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().map_err(said)?;
    writer.write_image_data(dots).map_err(said)?;
    writer.finish().map_err(said)?;
    Ok(file)
}

/// An error in words.
pub fn said(error: impl Display) -> String {
    error.to_string()
}
