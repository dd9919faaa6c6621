//! `hallpass.v1.UserService`.

use crate::{
    app::{
        App,
        caller::Caller,
        error::{Checked, FieldError},
        users::{CreateUser, KindFilter, ListUsers, NewUser, SetPassword},
    },
    domain::{secret::Secret, user::Role},
    proto::hallpass::v1::{
        CountUsersRequest, CountUsersResponse, CreateUserRequest, CreateUserResponse,
        DeactivateUserRequest, DeactivateUserResponse, DeleteUserRequest, DeleteUserResponse,
        GetUserByUsernameRequest, GetUserByUsernameResponse, GetUserRequest, GetUserResponse,
        ListUsersRequest, ListUsersResponse, LookUpUserRequest, LookUpUserResponse,
        ReactivateUserRequest, ReactivateUserResponse, ServerRole, SetOwnerRequest,
        SetOwnerResponse, SetPasswordRequest, SetPasswordResponse, UpdateUserServerRoleRequest,
        UpdateUserServerRoleResponse, UpdateUserSettingsRequest, UpdateUserSettingsResponse,
        UserState, UserType,
    },
};

use super::{
    super::{context::RequestContext, cors},
    NOT_OF_THE_ENUM, Reply, message, page_request,
};

pub(super) async fn create(
    app: App,
    (caller, context): (Caller, RequestContext),
    request: CreateUserRequest,
) -> Reply<CreateUserResponse> {
    let CreateUserRequest {
        username,
        password,
        user_type,
        role,
        description,
        owner_id,
    } = request;
    let password = Secret::new(password);
    if !password.expose().is_empty() {
        cors::check_password_page(&context)?;
    }
    let role = read_role("role", role).map(|role| role.unwrap_or(Role::Member));
    let kind = match UserType::try_from(user_type) {
        Ok(UserType::Unspecified | UserType::Personal) if owner_id.is_empty() => {
            Ok(NewUser::Person { password })
        }
        Ok(UserType::Unspecified | UserType::Personal) => {
            Err(FieldError::new("owner_id", "must be empty for a person"))
        }
        Ok(UserType::Machine) if password.expose().is_empty() => {
            let owner_id = Some(owner_id).filter(|id| !id.is_empty());
            Ok(NewUser::Machine { owner_id })
        }
        Ok(UserType::Machine) => Err(FieldError::new("password", "must be empty for a machine")),
        Err(_) => Err(FieldError::new("user_type", NOT_OF_THE_ENUM)),
    };
    let user = app
        .create_user(
            &caller,
            CreateUser {
                username,
                description,
                role,
                kind,
            },
        )
        .await?;
    Ok(CreateUserResponse {
        user: Some(message::user(user)),
    })
}

pub(super) async fn get(
    app: App,
    caller: Caller,
    request: GetUserRequest,
) -> Reply<GetUserResponse> {
    let user = app.get_user(&caller, &request.id).await?;
    Ok(GetUserResponse {
        user: Some(message::user(user)),
    })
}

pub(super) async fn get_by_username(
    app: App,
    caller: Caller,
    request: GetUserByUsernameRequest,
) -> Reply<GetUserByUsernameResponse> {
    let user = app.get_user_by_username(&caller, &request.username).await?;
    Ok(GetUserByUsernameResponse {
        user: Some(message::user(user)),
    })
}

pub(super) async fn look_up(
    app: App,
    caller: Caller,
    request: LookUpUserRequest,
) -> Reply<LookUpUserResponse> {
    let (id, name) = (&request.id, &request.username);
    let found = app.look_up_user(&caller, id, name, request.with_stakes);
    let (user, impact) = found.await?;
    let impact = impact.unwrap_or_default();
    Ok(LookUpUserResponse {
        id: user.id.to_string(),
        username: user.username.as_str().to_owned(),
        r#type: message::user_type(&user).into(),
        live_tokens: impact.live_tokens,
        last_use_time: impact.last_use_time.map(message::timestamp),
        machines: impact.machines,
    })
}

pub(super) async fn list(
    app: App,
    caller: Caller,
    request: ListUsersRequest,
) -> Reply<ListUsersResponse> {
    let page = page_request(request.page_size, request.page_token, request.reverse);
    let deactivated = read_state(request.user_state_filter);
    let kind = read_kinds(&request.user_type_filters);
    let page = app
        .list_users(
            &caller,
            ListUsers {
                page,
                deactivated,
                kind,
            },
        )
        .await?;
    Ok(ListUsersResponse {
        users: page.items.into_iter().map(message::user).collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn count(
    app: App,
    caller: Caller,
    request: CountUsersRequest,
) -> Reply<CountUsersResponse> {
    let deactivated = read_state(request.user_state_filter);
    let count = app.count_users(&caller, deactivated).await?;
    let total_count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(CountUsersResponse { total_count })
}

pub(super) async fn set_role(
    app: App,
    caller: Caller,
    request: UpdateUserServerRoleRequest,
) -> Reply<UpdateUserServerRoleResponse> {
    let role = read_role("server_role", request.server_role);
    let role = role.and_then(|role| role.ok_or(FieldError::new("server_role", "is required")));
    let user = app.set_role(&caller, &request.user_id, role).await?;
    let user = Some(message::user(user));
    Ok(UpdateUserServerRoleResponse { user })
}

pub(super) async fn set_settings(
    app: App,
    caller: Caller,
    request: UpdateUserSettingsRequest,
) -> Reply<UpdateUserSettingsResponse> {
    let user = app
        .set_description(&caller, &request.user_id, request.description)
        .await?;
    let user = Some(message::user(user));
    Ok(UpdateUserSettingsResponse { user })
}

pub(super) async fn set_password(
    app: App,
    (caller, context): (Caller, RequestContext),
    request: SetPasswordRequest,
) -> Reply<SetPasswordResponse> {
    cors::check_password_page(&context)?;
    let SetPasswordRequest {
        user_id,
        old_password,
        new_password,
        delete_tokens,
    } = request;
    let (old, new) = (Secret::new(old_password), Secret::new(new_password));
    let deleted_tokens = app
        .set_password(
            &caller,
            SetPassword {
                user_id,
                old,
                new,
                delete_tokens,
            },
        )
        .await?;
    Ok(SetPasswordResponse { deleted_tokens })
}

pub(super) async fn set_owner(
    app: App,
    caller: Caller,
    request: SetOwnerRequest,
) -> Reply<SetOwnerResponse> {
    let user = app
        .set_owner(&caller, &request.user_id, &request.owner_id)
        .await?;
    let user = Some(message::user(user));
    Ok(SetOwnerResponse { user })
}

pub(super) async fn deactivate(
    app: App,
    caller: Caller,
    request: DeactivateUserRequest,
) -> Reply<DeactivateUserResponse> {
    let user = app.deactivate_user(&caller, &request.id).await?;
    let user = Some(message::user(user));
    Ok(DeactivateUserResponse { user })
}

pub(super) async fn reactivate(
    app: App,
    caller: Caller,
    request: ReactivateUserRequest,
) -> Reply<ReactivateUserResponse> {
    let user = app.reactivate_user(&caller, &request.id).await?;
    let user = Some(message::user(user));
    Ok(ReactivateUserResponse { user })
}

pub(super) async fn delete(
    app: App,
    caller: Caller,
    request: DeleteUserRequest,
) -> Reply<DeleteUserResponse> {
    let deleted_tokens = app.delete_user(&caller, &request.id).await?;
    Ok(DeleteUserResponse { deleted_tokens })
}

fn read_role(field: &'static str, role: i32) -> Checked<Option<Role>> {
    match ServerRole::try_from(role) {
        Ok(ServerRole::Unspecified) => Ok(None),
        Ok(ServerRole::Admin) => Ok(Some(Role::Admin)),
        Ok(ServerRole::Member) => Ok(Some(Role::Member)),
        Err(_) => Err(FieldError::new(field, NOT_OF_THE_ENUM)),
    }
}

fn read_state(state: i32) -> Checked<Option<bool>> {
    match UserState::try_from(state) {
        Ok(UserState::Unspecified) => Ok(None),
        Ok(UserState::Active) => Ok(Some(false)),
        Ok(UserState::Deactivated) => Ok(Some(true)),
        Err(_) => Err(FieldError::new("user_state_filter", NOT_OF_THE_ENUM)),
    }
}

/// All types together are no filter, like none.
fn read_kinds(types: &[i32]) -> Checked<Option<KindFilter>> {
    let (mut people, mut machines) = (false, false);
    for user_type in types {
        match UserType::try_from(*user_type) {
            Ok(UserType::Personal) => people = true,
            Ok(UserType::Machine) => machines = true,
            Ok(UserType::Unspecified) | Err(_) => {
                let problem = "must be user types";
                return Err(FieldError::new("user_type_filters", problem));
            }
        }
    }
    Ok(match (people, machines) {
        (true, false) => Some(KindFilter::People),
        (false, true) => Some(KindFilter::Machines),
        _ => None,
    })
}
