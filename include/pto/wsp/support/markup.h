#pragma once

#include <string>
#include <string_view>

namespace pto::wsp {

/// `text` as content or a quoted attribute of HTML, SVG and XML: & < > " are written as entities.
std::string markup_text(std::string_view text);

}  // namespace pto::wsp
