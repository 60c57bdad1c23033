use std::time::Instant;
use wgpu_loss::*;
fn cpu() -> f64 { let s = std::fs::read_to_string("/proc/self/stat").unwrap(); let v: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); (v[11].parse::<f64>().unwrap() + v[12].parse::<f64>().unwrap()) / 100.0 }
fn main() {
    let gpu = Gpu::with_options(&GpuOptions { subgroups: std::env::var("NOSUB").is_err(), ..Default::default() }).unwrap();
    let shapes: Vec<Vec<usize>> = vec![vec![4096,1000], vec![1024,32000], vec![128,151936], vec![1048576,10], vec![4,21,512,512], vec![17000000,3], vec![4096,1001]];
    let filter: Option<usize> = std::env::args().nth(1).and_then(|s| s.parse().ok());
    for (k, shape) in shapes.iter().enumerate() {
        if filter.is_some_and(|f| f != k) { continue }
        let n: usize = shape.iter().product();
        let c = shape[1];
        let rows = n / c;
        let mut s = 12345u64;
        let mut rnd = || { s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); (s >> 40) as f32 / 16777216.0 };
        let x: Vec<f32> = (0..n).map(|_| (rnd() + rnd() + rnd() + rnd() - 2.0) * 3.0).collect();
        let y: Vec<i64> = (0..rows).map(|_| (rnd() * c as f32) as i64 % c as i64).collect();
        let mut ys = shape.clone(); ys.remove(1);
        let inputs = Inputs::new(Tensor::new(&x, shape)).labels(&y, &ys);
        let want = reference::run(&CrossEntropy::new(), &inputs, Outputs::loss()).unwrap().loss[0];
        for outputs in [Outputs::loss(), Outputs::loss().with_grad()] {
            if outputs.grad && n > 50_000_000 { continue }
            let out = gpu.run(&CrossEntropy::new(), &inputs, outputs).unwrap();
            let rel = (out.loss[0] as f64 - want).abs() / want;
            let t = out.timing.unwrap();
            // resident
            let shapes_ = inputs.shapes();
            let plan = Plan::new(&CrossEntropy::new(), &shapes_, outputs, gpu.kernels().profile()).unwrap();
            let mk = |bytes: &[u8]| { let b = gpu.device().create_buffer(&wgpu::BufferDescriptor { label: None, size: bytes.len() as u64, usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST, mapped_at_creation: false }); gpu.queue().write_buffer(&b, 0, bytes); b };
            let bx = mk(bytemuck::cast_slice(&x)); let by = mk(bytemuck::cast_slice(&y));
            let bg = mk(bytemuck::cast_slice(&x));
            let mut b = Buffers::new(bx.as_entire_buffer_binding()).target(by.as_entire_buffer_binding());
            if outputs.grad { b = b.grad(bg.as_entire_buffer_binding()); }
            let bound = Bound::new(gpu.kernels(), plan, &b).unwrap();
            let mut times = vec![]; let c0 = cpu(); let mut runs = 0; let t0 = Instant::now();
            while t0.elapsed().as_secs_f64() < std::env::var("SECS").map_or(1.0, |s| s.parse().unwrap()) || runs < 3 { runs += 1;
                let s = Instant::now();
                let mut e = gpu.device().create_command_encoder(&Default::default());
                { let mut p = e.begin_compute_pass(&Default::default()); bound.record(&mut p); }
                gpu.queue().submit([e.finish()]);
                gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
                times.push(s.elapsed().as_secs_f64());
            }
            times.sort_by(f64::total_cmp);
            let med = times[times.len()/2]; let cpu1 = (cpu() - c0) / runs as f64 * 1e3;
            println!("cpu {cpu1:.1} ms {shape:?} grad={} rel {rel:.1e} resident {:.1} ms  {:.2} GB/s  (upload {:.0} prep {:.0} kernel {:.0} back {:.0})", outputs.grad, med*1e3, n as f64*4.0*(if outputs.grad {3.0} else {1.0})/med/1e9, t.upload.as_secs_f64()*1e3, t.prepare.as_secs_f64()*1e3, t.kernel.as_secs_f64()*1e3, t.read_back.as_secs_f64()*1e3);
        }
    }
}
