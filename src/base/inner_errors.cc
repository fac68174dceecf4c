#include "base/inner_errors.h"

#include "base/errors.h"
#include "base/text.h"

namespace keelson::errors {
namespace {

struct Name {
  absl::Status (*error)();
  std::string_view inside;
};

constexpr Name kNames[] = {
    {Compacted, "mvcc: required revision has been compacted"},
    {FutureRev, "mvcc: required revision is a future revision"},
    {NoSpace, "etcdserver: no space"},
    {LeaseNotFound, "lease not found"},
    {LeaseExist, "lease already exists"},
    {LeaseTTLTooLarge, "too large lease TTL"},
    {RootUserNotExist, "auth: root user does not exist"},
    {RootRoleNotExist, "auth: root user does not have root role"},
    {UserAlreadyExist, "auth: user already exists"},
    {UserEmpty, "auth: user name is empty"},
    {UserNotFound, "auth: user not found"},
    {RoleAlreadyExist, "auth: role already exists"},
    {RoleNotFound, "auth: role not found"},
    {RoleEmpty, "auth: role name is empty"},
    {AuthFailed, "auth: authentication failed, invalid user ID or password"},
    {PermissionNotGiven, "auth: permission not given"},
    {PermissionDenied, "auth: permission denied"},
    {RoleNotGranted, "auth: role is not granted to the user"},
    {PermissionNotGranted, "auth: permission is not granted to the role"},
    {AuthNotEnabled, "auth: authentication is not enabled"},
    {InvalidAuthToken, "auth: invalid auth token"},
    {InvalidAuthMgmt, "auth: invalid auth management"},
    {AuthOldRevision, "auth: revision in header is old"},
};

}  // namespace

std::string_view inner_text(const absl::Status& status) {
  for (const Name& name : kNames) {
    if (status == name.error()) return name.inside;
  }
  return message_of(status);
}

}  // namespace keelson::errors
