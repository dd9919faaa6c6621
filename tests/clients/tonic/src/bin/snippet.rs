//! Lists the tokens of whoever holds the token.

use std::env;

use hallpass_tonic::hallpass::{ListTokensRequest, token_service_client::TokenServiceClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut tokens = TokenServiceClient::connect(env::var("HALLPASS")?).await?;
    let mut request = tonic::Request::new(ListTokensRequest {
        page_size: 10,
        ..Default::default()
    });
    let bearer = format!("Bearer {}", env::var("TOKEN")?);
    request
        .metadata_mut()
        .insert("authorization", bearer.parse()?);
    for token in tokens.list_tokens(request).await?.into_inner().tokens {
        println!("{} {}", token.id, token.note);
    }
    Ok(())
}
