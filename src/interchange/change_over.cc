#include "interchange/change_over.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/text.h"
#include "interchange/layout.h"
#include "interchange/store_maker.h"

namespace keelson::interchange {
namespace {

namespace fs = std::filesystem;

std::string trimmed(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

bool there(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

absl::Status remove_all(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(cat("interchange: cannot remove ", path, ": ", error.message()));
}

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).lexically_normal().parent_path();
  return parent.empty() ? "." : parent;
}

absl::Status move(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    return absl::UnavailableError(
        cat("interchange: cannot rename ", from, " to ", to, ": ", strerror(errno)));
  }
  return sync_directory(parent_of(to));
}

absl::Status exchange(const std::string& one, const std::string& other) {
  if (::renameat2(AT_FDCWD, one.c_str(), AT_FDCWD, other.c_str(), RENAME_EXCHANGE) == 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      cat("interchange: cannot exchange ", one, " and ", other, ": ", strerror(errno)));
}

absl::Status check_exchange(const std::string& path) {
  const std::string one = path + ".try-1", other = path + ".try-2";
  std::error_code error;
  for (const std::string& name : {one, other}) {
    fs::create_directories(name, error);
    if (error) {
      return absl::UnavailableError(cat("interchange: cannot make ", name, ": ", error.message()));
    }
  }
  const absl::Status tried = exchange(one, other);
  for (const std::string& name : {one, other}) fs::remove(name, error);
  return tried;
}

bool is_mount_point(const std::string& path) {
  struct stat here = {}, above = {};
  if (::stat(path.c_str(), &here) != 0 || ::stat((path + "/..").c_str(), &above) != 0) return false;
  return here.st_dev != above.st_dev;
}

Places::Places(const std::string& data_dir, const std::string& wal_dir, const std::string& ending)
    : member(member_dir(data_dir)), made(member + ending), log(trimmed(wal_dir)) {
  const std::string inside = fs::path(member).lexically_normal() / "";
  log_is_inside = (fs::path(log).lexically_normal() / "").string().starts_with(inside);
  // Where it will be found when the member directory has been renamed.
  made_log =
      log_is_inside ? made + "/" + fs::path(log).lexically_relative(member).string() : log + ending;
}

absl::Status check_places(const Places& places) {
  if (places.log_is_inside || !is_mount_point(places.log)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      cat("interchange: a file system is mounted on ", places.log,
          ", so it cannot be changed over; move the log to a directory inside of it and name that "
          "as --wal-dir"));
}

}  // namespace keelson::interchange
