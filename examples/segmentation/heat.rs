//! Draws losses over an image: `heat.wgsl` and its resources.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use support::examples::Result;
use wgpu_loss::wgpu::{self, util::DeviceExt};

/// The components of a dot of images and of the picture: red, green, blue, opacity.
const FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba8Unorm;
const DOT_BYTES: u32 = 4;

/// An image with dots of `FORMAT`.
pub struct Image {
    size: [u32; 2],
    dots: Vec<u8>,
}

impl Image {
    /// Reads a PNG file of RGB.
    pub fn read(path: &Path) -> Result<Self> {
        let named = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = BufReader::new(File::open(path).map_err(named)?);
        let mut reader = png::Decoder::new(file).read_info()?;
        let info = reader.info();
        if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
            return Err(format!("{} has no RGB of 8 bits", path.display()).into());
        }
        let size = [info.width, info.height];
        let mut rgb = vec![0; 3 * (size[0] * size[1]) as usize];
        reader.next_frame(&mut rgb)?;
        let dots = rgb.chunks_exact(3).flat_map(|dot| [dot[0], dot[1], dot[2], 255]).collect();
        Ok(Self { size, dots })
    }
}

/// A render pass that shows losses, and a buffer that its picture is copied to.
pub struct Heat {
    pipeline: wgpu::RenderPipeline,
    bind_group: wgpu::BindGroup,
    target: wgpu::Texture,
    staging: wgpu::Buffer,
}

impl Heat {
    /// Makes the pass for an image's pixels, each as so many dots wide and high.
    pub fn new(
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        losses: &wgpu::Buffer,
        image: &Image,
        dots: u32,
    ) -> Self {
        let texture = |label, [width, height]: [u32; 2], usage| wgpu::TextureDescriptor {
            label: Some(label),
            size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: FORMAT,
            usage,
            view_formats: &[],
        };
        let under = texture("image", image.size, wgpu::TextureUsages::TEXTURE_BINDING);
        let under = device.create_texture_with_data(queue, &under, Default::default(), &image.dots);
        let usage = wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC;
        let target = texture("heatmap", image.size.map(|side| side * dots), usage);
        let target = device.create_texture(&target);
        let staging = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("heatmap staging"),
            size: u64::from(row_bytes(target.width()) * target.height()),
            usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
            mapped_at_creation: false,
        });

        let pipeline = pipeline(device, dots);
        let view = under.create_view(&Default::default());
        let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("heat"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: losses.as_entire_binding() },
                wgpu::BindGroupEntry {
                    binding: 1,
                    resource: wgpu::BindingResource::TextureView(&view),
                },
            ],
        });
        Self { pipeline, bind_group, target, staging }
    }

    /// Width and height of the picture.
    pub fn size(&self) -> [u32; 2] {
        [self.target.width(), self.target.height()]
    }

    /// Records the drawing, and the copy of the picture.
    pub fn draw(&self, encoder: &mut wgpu::CommandEncoder) {
        let view = self.target.create_view(&Default::default());
        {
            let attachment = wgpu::RenderPassColorAttachment {
                view: &view,
                depth_slice: None,
                resolve_target: None,
                ops: Default::default(),
            };
            let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
                label: Some("heat"),
                color_attachments: &[Some(attachment)],
                ..Default::default()
            });
            pass.set_pipeline(&self.pipeline);
            pass.set_bind_group(0, &self.bind_group, &[]);
            pass.draw(0..3, 0..1);
        }
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(row_bytes(self.target.width())),
            rows_per_image: None,
        };
        let copy = wgpu::TexelCopyBufferInfo { buffer: &self.staging, layout };
        encoder.copy_texture_to_buffer(self.target.as_image_copy(), copy, self.target.size());
    }

    /// Returns the buffer of the picture, once all recorded work is done.
    pub fn staging(&self) -> &wgpu::Buffer {
        &self.staging
    }

    /// Returns the RGB dots of that buffer's bytes.
    pub fn dots(&self, bytes: &[u8]) -> Vec<u8> {
        let width = (self.target.width() * DOT_BYTES) as usize;
        let rows = bytes.chunks_exact(row_bytes(self.target.width()) as usize);
        let dots = rows.flat_map(|row| row[..width].chunks_exact(DOT_BYTES as usize));
        dots.flat_map(|dot| [dot[0], dot[1], dot[2]]).collect()
    }
}

/// Returns the bytes of a row of the picture in a buffer.
fn row_bytes(width: u32) -> u32 {
    (width * DOT_BYTES).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT)
}

fn pipeline(device: &wgpu::Device, dots: u32) -> wgpu::RenderPipeline {
    let module = &device.create_shader_module(wgpu::include_wgsl!("heat.wgsl"));
    let constants = [("dots", f64::from(dots))];
    let compilation_options =
        wgpu::PipelineCompilationOptions { constants: &constants, ..Default::default() };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some("heat"),
        layout: None,
        vertex: wgpu::VertexState {
            module,
            entry_point: Some("cover"),
            compilation_options: compilation_options.clone(),
            buffers: &[],
        },
        primitive: Default::default(),
        depth_stencil: None,
        multisample: Default::default(),
        fragment: Some(wgpu::FragmentState {
            module,
            entry_point: Some("heat"),
            compilation_options,
            targets: &[Some(FORMAT.into())],
        }),
        multiview_mask: None,
        cache: None,
    })
}
