#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/workload/dependence.h"
#include "workload/access.h"

namespace pto::wsp::workload {

/// A grid never has more cells than this; what does not fit shares cells.
inline constexpr int64_t max_cells = int64_t{1} << 22;

/// Cells of one storage. Along each dimension a cell is as long as the greatest common divisor of
/// all steps and extents of all accesses, so that each access is an exact box of cells; longer
/// where boxes would have very many cells or the grid more than `max_cells`.
class CellMap {
public:
    /// From all accesses of the workload to the storage, with the sites that make them.
    explicit CellMap(const std::vector<std::pair<const Site *, const DataAccess *>> &accesses);

    int64_t cells() const;
    /// The box of cells of an access (which must be one of those above), with its first cell.
    CellAccess access(const DataAccess &access) const;

private:
    /// One dimension, in units of the common divisor, from the lowest place touched on.
    struct Dimension {
        Wide low = 0;      ///< lowest offset, in elements
        Wide unit = 0;     ///< common divisor, in elements
        Wide units = 1;    ///< touched places
        Wide cell = 1;     ///< length of a cell, in units
        Wide step = 0;     ///< smallest distance between accesses of two iterations, in units
        Wide longest = 1;  ///< longest access, in units

        void add(const Site &site, const Affine &offset, int64_t extent);
        /// Cells that an access of `extent` units touches at most, wherever it starts.
        Wide count(Wide extent) const {
            return cell >= units ? 1 : floor_div(extent + cell - 2, cell) + 1;
        }
        Wide cells() const { return count(units); }
        void coarsen() { cell = std::min(cell * 2, units); }
        /// Chooses the length of a cell.
        void limit_box();
    };

    Wide longest_box() const;

    std::vector<Dimension> dims_;
};

}  // namespace pto::wsp::workload
