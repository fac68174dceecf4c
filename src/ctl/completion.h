// ctl/completion.h
//
// The command "completion": prints a script that makes a shell complete a program's commands and
// flags.

#pragma once

#include <string_view>

#include "ctl/command.h"

namespace keelson::ctl {

// `program` makes the tree of commands that is completed (the one the command stands in).
Command completion_command(Program (*program)(), std::string_view group = "");

}  // namespace keelson::ctl
