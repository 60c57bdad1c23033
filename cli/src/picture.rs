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
/// Lines behind everything.
pub const GRID: RGBColor = RGBColor(229, 231, 235);

/// Makes the font known. To be called before text is drawn.
pub fn register() -> Result<(), String> {
    let registered = register_font(FONT, FontStyle::Normal, GLYPHS);
    registered.map_err(|_| "the font is damaged".into())
}

/// A picture of RGB dots with one dot for `finer` by `finer`, their mean: plotters does not smooth its
/// lines.
pub fn smoothed(fine: &[u8], width: usize, finer: usize) -> Vec<u8> {
    let mut coarse = Vec::with_capacity(fine.len() / finer.pow(2));
    for rows in fine.chunks_exact(3 * width * finer) {
        for x in (0..width).step_by(finer) {
            for color in 0..3 {
                let dot = |i| u32::from(rows[3 * (i / finer * width + x + i % finer) + color]);
                let sum: u32 = (0..finer * finer).map(dot).sum();
                coarse.push((sum / finer.pow(2) as u32) as u8);
            }
        }
    }
    coarse
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_means() {
        // Two by two dots of two by two finer ones, each of one grey.
        let greys = [0, 4, 8, 8, 4, 8, 8, 8, 0, 0, 1, 1, 0, 0, 1, 5];
        let fine: Vec<u8> = greys.iter().flat_map(|&grey| [grey; 3]).collect();
        let coarse: Vec<u8> = [4, 8, 0, 2].iter().flat_map(|&grey| [grey; 3]).collect();
        assert_eq!(smoothed(&fine, 4, 2), coarse);
    }
}
