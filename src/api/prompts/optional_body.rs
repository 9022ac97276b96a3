//! A request body that may be absent.

use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaRequest, Registry},
};

use crate::{api::json::Json, family::prompt::StreamTokenOptions};

/// A JSON body that may be absent. Without a body, `Content-Type` may be absent too.
pub(super) struct OptionalBody(pub(super) Option<StreamTokenOptions>);

impl<'a> ApiExtractor<'a> for OptionalBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Json<StreamTokenOptions> as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let meta = <Json<StreamTokenOptions> as ApiExtractor>::request_meta();
        meta.map(|meta| MetaRequest { required: false, ..meta })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = body.take()?.into_bytes().await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let mut body = RequestBody::new(bytes.into());
        let given = Json::<StreamTokenOptions>::from_request(request, &mut body, options).await?;
        Ok(Self(Some(given.0)))
    }
}
