// mvcc/revision_key.h
//
// base/revision_key.h by the names of this room.

#pragma once

#include "base/revision_key.h"

namespace keelson::mvcc {

using keelson::kMaxRevision;
using keelson::parse_revision_key;
using keelson::ParsedRevision;
using keelson::RevisionKey;

}  // namespace keelson::mvcc
