//! `talosmith custom-imager`

use serde_json::json;

use super::super::args::CustomImager;
use super::super::failure::{Failure, Outcome};
use super::super::options::{self, Options};
use super::super::printer::Printer;
use super::{check_outputs, print_written};
use crate::image::{Medium, Platform};
use crate::plan::custom_imager::{CustomImagerSpec, build};
use crate::plan::extension::for_platform;

pub(super) fn run(args: &CustomImager, options: &Options, printer: &Printer) -> Result<Outcome, Failure> {
    let spec = spec(args, options)?;
    let built = build(&spec, &options.context)?;
    let extra = json!({ "exchanged": built.exchanged });
    print_written("custom-imager", &built.written, extra, printer)?;
    Ok(Outcome::Done)
}

fn spec(args: &CustomImager, options: &Options) -> Result<CustomImagerSpec, Failure> {
    let base = options::reference(&args.base)?;
    if base.medium() == Medium::Directory {
        return Err(Failure::usage(format!("`--base {base}`: a plain tree is no image"))
            .hint(Some("its layers and labels go on: give the imager's image".to_owned())));
    }
    let mut platforms: Vec<Platform> = Vec::new();
    for text in &args.platform {
        let platform = options::platform(text)?;
        if platforms.contains(&platform) {
            return Err(Failure::usage(format!("platform `{platform}` is given twice")));
        }
        platforms.push(platform);
    }
    for kernel in &args.kernels {
        options::reference(kernel)?;
    }
    // Which platforms there are only the base says: any will do to look at an output's form.
    let some = Platform::linux("amd64");
    let outputs = args.output.iter().map(|output| options::reference(&for_platform(output, &some)));
    check_outputs(&outputs.collect::<Result<Vec<_>, _>>()?, options)?;
    Ok(CustomImagerSpec {
        base,
        kernels: args.kernels.clone(),
        platforms,
        allow_missing: args.allow_missing_modules,
        epoch: options.epoch,
        outputs: args.output.clone(),
    })
}
