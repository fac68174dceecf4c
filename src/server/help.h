// server/help.h
//
// What --help prints, and the short usage that follows a flag error. Built from the flag table.

#pragma once

#include <string>

namespace keelson::server {

std::string usage_text();
std::string help_text();

}  // namespace keelson::server
