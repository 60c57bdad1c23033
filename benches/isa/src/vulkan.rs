//! A Vulkan device that compiles and never runs: a driver's null device without hardware suffices.

use std::error::Error;
use std::ffi::CStr;

use ash::{Device, Entry, Instance, khr, vk};

/// The driver's information on a pipeline.
pub struct Compiled {
    /// Numbers, by the driver's names.
    pub statistics: Vec<(String, f64)>,
    /// The code in each of the forms that the driver shows, by its names.
    pub texts: Vec<(String, String)>,
}

impl Compiled {
    /// The statistic of that name.
    pub fn statistic(&self, name: &str) -> Option<f64> {
        self.statistics.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }
}

/// The first device of the loader's, as wgpu would open it.
pub struct Compiler {
    /// Its name and driver.
    pub name: String,
    /// True if the driver checks storage buffers, as far as wgpu requests it.
    pub robust: bool,
    properties: khr::pipeline_executable_properties::Device,
    device: Device,
    instance: Instance,
    _entry: Entry,
}

fn text(raw: &CStr) -> String {
    raw.to_string_lossy().into_owned()
}

impl Compiler {
    /// # Errors
    /// If there is no loader, no device, or if the device does not show what it compiles.
    pub fn open() -> Result<Self, Box<dyn Error>> {
        // SAFETY: the loader's library is trusted to be one.
        let entry = unsafe { Entry::load()? };
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: `info` is whole, and the entry outlives the instance: both are kept.
        let instance = unsafe { entry.create_instance(&info, None)? };
        // SAFETY: the instance is live, here and below.
        let physical = unsafe { instance.enumerate_physical_devices()? };
        let physical = *physical.first().ok_or("no Vulkan device")?;

        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: as above.
        unsafe { instance.get_physical_device_properties2(physical, &mut properties) };
        let device_name = text(properties.properties.device_name_as_c_str()?);
        let name = format!("{device_name}, {}", text(driver.driver_info_as_c_str()?));

        // SAFETY: as above.
        let extensions = unsafe { instance.enumerate_device_extension_properties(physical)? };
        let has =
            |wanted: &CStr| extensions.iter().any(|e| e.extension_name_as_c_str() == Ok(wanted));
        if !has(khr::pipeline_executable_properties::NAME) {
            return Err(format!("{name} does not show what it compiles").into());
        }
        let robust = has(ash::ext::robustness2::NAME);
        let mut names = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
        if robust {
            names.push(ash::ext::robustness2::NAME.as_ptr());
        }

        // The features that wgpu-hal 30 enables and that change the code.
        let mut shown = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
            .pipeline_executable_info(true);
        let mut robustness =
            vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(robust);
        let mut sizes_13 = vk::PhysicalDeviceVulkan13Features::default()
            .subgroup_size_control(true)
            .compute_full_subgroups(true)
            .shader_zero_initialize_workgroup_memory(true);
        let mut features = vk::PhysicalDeviceFeatures2::default()
            .features(vk::PhysicalDeviceFeatures::default().robust_buffer_access(true))
            .push_next(&mut shown)
            .push_next(&mut sizes_13);
        if robust {
            features = features.push_next(&mut robustness);
        }
        let queues =
            [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
        let info = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_extension_names(&names)
            .push_next(&mut features);
        // SAFETY: the device has the extensions; a feature that it lacks is an error of the call.
        let device = unsafe { instance.create_device(physical, &info, None)? };
        let properties = khr::pipeline_executable_properties::Device::new(&instance, &device);
        Ok(Self { name, robust, properties, device, instance, _entry: entry })
    }

    /// Compiles the entry point `main`, whose bindings 0 and on of group 0 have these types, for
    /// subgroups of one size or (as wgpu does it) of any.
    ///
    /// # Errors
    /// The driver's error.
    pub fn compile(
        &self,
        words: &[u32],
        bindings: &[vk::DescriptorType],
        subgroup: Option<u32>,
    ) -> Result<Compiled, Box<dyn Error>> {
        let device = &self.device;
        let entries: Vec<_> = bindings
            .iter()
            .enumerate()
            .map(|(number, &kind)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(number as u32)
                    .descriptor_type(kind)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set_info = vk::DescriptorSetLayoutCreateInfo::default().bindings(&entries);
        // SAFETY: here and below every handle is of this device, live, and destroyed once.
        let set = unsafe { device.create_descriptor_set_layout(&set_info, None)? };
        let sets = [set];
        let layout_info = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
        // SAFETY: as above.
        let layout = unsafe { device.create_pipeline_layout(&layout_info, None)? };
        let module_info = vk::ShaderModuleCreateInfo::default().code(words);
        // SAFETY: as above; the words are naga's.
        let module = unsafe { device.create_shader_module(&module_info, None)? };

        let mut required = vk::PipelineShaderStageRequiredSubgroupSizeCreateInfo::default()
            .required_subgroup_size(subgroup.unwrap_or(0));
        let mut stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(module)
            .name(c"main");
        stage = match subgroup {
            Some(_) => stage.push_next(&mut required),
            None => stage.flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE),
        };
        let info = [vk::ComputePipelineCreateInfo::default()
            .flags(
                vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                    | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
            )
            .stage(stage)
            .layout(layout)];
        // SAFETY: as above.
        let made =
            unsafe { device.create_compute_pipelines(vk::PipelineCache::null(), &info, None) };
        let shown = match &made {
            Ok(pipelines) => self.shown(pipelines[0]),
            Err((_, error)) => Err((*error).into()),
        };
        // SAFETY: as above; nothing runs on the device.
        unsafe {
            for pipeline in made.unwrap_or_else(|(pipelines, _)| pipelines) {
                device.destroy_pipeline(pipeline, None);
            }
            device.destroy_shader_module(module, None);
            device.destroy_pipeline_layout(layout, None);
            device.destroy_descriptor_set_layout(set, None);
        }
        shown
    }

    fn shown(&self, pipeline: vk::Pipeline) -> Result<Compiled, Box<dyn Error>> {
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        // SAFETY: the pipeline was made to be asked this.
        let found = unsafe { self.properties.get_pipeline_executable_statistics(&info)? };
        let statistics = found.iter().map(|s| {
            // SAFETY: the format says which member it is.
            let value = unsafe {
                match s.format {
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => s.value.u64 as f64,
                    vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64 as f64,
                    vk::PipelineExecutableStatisticFormatKHR::FLOAT64 => s.value.f64,
                    _ => f64::from(s.value.b32),
                }
            };
            (s.name_as_c_str().map(text).unwrap_or_default(), value)
        });
        let statistics = statistics.collect();
        Ok(Compiled { statistics, texts: self.texts(&info)? })
    }

    fn texts(
        &self,
        info: &vk::PipelineExecutableInfoKHR<'_>,
    ) -> Result<Vec<(String, String)>, Box<dyn Error>> {
        let call = self.properties.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = 0;
        // SAFETY: without an array the call returns their number.
        unsafe { call(self.device.handle(), info, &mut count, std::ptr::null_mut()) }.result()?;
        let mut found =
            vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
        // SAFETY: the array has room for `count`; without data the call tells their sizes.
        unsafe { call(self.device.handle(), info, &mut count, found.as_mut_ptr()) }.result()?;
        let mut bytes: Vec<Vec<u8>> = found.iter().map(|f| vec![0; f.data_size]).collect();
        for (text, room) in found.iter_mut().zip(&mut bytes) {
            text.p_data = room.as_mut_ptr().cast();
        }
        // SAFETY: each has room for as much as it said it needs.
        unsafe { call(self.device.handle(), info, &mut count, found.as_mut_ptr()) }.result()?;
        let named = found.iter().zip(&bytes).map(|(f, bytes)| {
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            let name = f.name_as_c_str().map(text).unwrap_or_default();
            (name, String::from_utf8_lossy(&bytes[..end]).into_owned())
        });
        Ok(named.collect())
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: all objects that were made of them are destroyed.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}
