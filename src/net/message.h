// net/message.h
//
// A message on its way out is a Parts (base/parts.h): a few runs of bytes, sent one after the
// other.

#pragma once

#include "base/parts.h"

namespace keelson::net {

using MessageParts = Parts;

}  // namespace keelson::net
