-- A feature of several files: asked for in words, and shown as a preview of all its edits.

local client = require('beast.client')
local notice = require('beast.notice')

local M = {}

---@param problem? lsp.ResponseError
---@param result? table
local function conclude(problem, result)
  if problem then
    return notice.cancelled(problem) or notice.fail(problem)
  end
  assert(result)
  if #(result.edits or {}) == 0 then
    return notice.warn(result.summary or 'nothing came of it.')
  end
  require('beast.preview').open(result.edits, 'BEAST feature', result.request_id)
  notice.info(table.concat({ result.summary, result.costLine }, ' — '))
end

--- Has a feature made for the folder that a buffer lies in; nothing changes before the preview is applied.
---@param words string What is wanted; empty: asks for it.
---@param bufnr integer
---@return beast.Task?
function M.run(words, bufnr)
  if words == '' then
    return vim.ui.input({ prompt = 'Generate a feature: ' }, function(said)
      if said and said ~= '' then
        M.run(said, bufnr)
      end
    end)
  end
  local name = vim.api.nvim_buf_get_name(bufnr)
  local given = { request = words, uri = name ~= '' and vim.uri_from_bufnr(bufnr) or nil, show = false }
  return client.command('generateFeature', given, { bufnr = bufnr, label = 'feature', on_done = conclude })
end

return M
