#include "ctl/run_program.h"

#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "ctl/gotext.h"

namespace keelson::ctl {
namespace {

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

}  // namespace

absl::StatusOr<int> run_program(const std::vector<std::string>& command,
                                const std::vector<std::string>& variables) {
  std::vector<std::string> arguments = command;
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  environment.insert(environment.end(), variables.begin(), variables.end());
  pid_t child = 0;
  int error = posix_spawnp(&child, command[0].c_str(), nullptr, nullptr, pointers(arguments).data(),
                           pointers(environment).data());
  if (error == ENOENT && command[0].find('/') == std::string::npos) {
    return absl::NotFoundError(
        cat("exec: ", go_quote(command[0]), ": executable file not found in $PATH"));
  }
  if (error != 0) {
    return absl::UnknownError(cat("fork/exec ", command[0], ": ", strerror(error)));
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return absl::UnknownError(cat("wait: ", strerror(errno)));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace keelson::ctl
