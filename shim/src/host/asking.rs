//! Refuses a guest that asks for more than its container grants, before any of it runs.

use crate::command::attempt;
use crate::ending::Ending;
use wasmdock_shim::capabilities::{self, Asked};
use wasmdock_shim::launch::Launch;
use wasmtime::component::Component;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::{Engine, ExternType, Module};

/// The end of a module that asks for too much.
pub fn refuse_module(launch: &Launch, module: &Module, arguments: &[String]) -> Option<Ending> {
    if !launch.settings.limits_capabilities() {
        return None;
    }
    let functions = module
        .imports()
        .filter(|import| matches!(import.ty(), ExternType::Func(_)));
    let asked: Vec<Asked> = functions
        .filter_map(|import| capabilities::of_core(import.module(), import.name()))
        .collect();
    refuse(launch, &asked, arguments)
}

/// The end of a component that asks for too much.
pub fn refuse_component(
    launch: &Launch,
    engine: &Engine,
    component: &Component,
    arguments: &[String],
) -> Option<Ending> {
    if !launch.settings.limits_capabilities() {
        return None;
    }
    let mut asked: Vec<Asked> = Vec::new();
    for (name, import) in component.component_type().imports(engine) {
        match &import.ty {
            ComponentItem::Type(_) | ComponentItem::Resource(_) => continue,
            ComponentItem::ComponentInstance(instance) => {
                if names_types_only(instance, engine) {
                    continue;
                }
                asked.extend(capabilities::of_interface(name));
                if instance.get_export(engine, "get-arguments").is_some() {
                    asked.push(("arguments", name.to_string()));
                }
            }
            _ => asked.extend(capabilities::of_interface(name)),
        }
    }
    refuse(launch, &asked, arguments)
}

/// Whether an interface is imported only to name its types: then nothing of it can be called.
fn names_types_only(instance: &ComponentInstance, engine: &Engine) -> bool {
    let types = |item| matches!(item, ComponentItem::Type(_) | ComponentItem::Resource(_));
    instance.exports(engine).len() > 0 && instance.exports(engine).all(|(_, item)| types(item.ty))
}

fn refuse(launch: &Launch, asked: &[Asked], arguments: &[String]) -> Option<Ending> {
    let settings = &launch.settings;
    let refusal = capabilities::refusal(asked, |one| settings.grants(one), &settings.granted_by)?;
    Some(Ending::refused(format!(
        "{}: {refusal}",
        attempt(arguments)
    )))
}
